/** Instances come and go on real Docker hosts while clients use their virtual address. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { connectOften, serveFlows, watchFlow } from '../support/flows.ts';
import type { Host } from '../support/host.ts';
import { useHosts } from '../support/hosts.ts';
import { until } from '../support/until.ts';
import { virtualAddress } from '../support/virtualAddress.ts';

const hosts = useHosts({ options: ['--vip', '--ambassador-drain', '1'] });
const WEB = 'web.skydns.local';
/** Of each of two clients. With SORADNS_CHURN_CONNECTS=50000 the test takes several minutes. */
const CONNECTS = Number(process.env.SORADNS_CHURN_CONNECTS ?? 3_000);

const CONTAINER = { kind: 'container' } as const;

/** Without a health check Docker's start event may come before the program listens. */
const CHECK = `flow connects 127.0.0.1 80 1 0 | grep -q '"failed":0'`;
const HEALTHY = ['--health-cmd', CHECK, '--health-interval', '500ms'];

let started = 0;

/** Starts another instance; Docker chooses its published port. */
async function instanceOn(host: Host): Promise<{ readonly text: string; end(): Promise<void> }> {
  const text = `${host.name}${++started}`;
  const id = await serveFlows(host, {
    ...{ text, ports: [80], publish: ['80/tcp'], args: HEALTHY },
    env: { DNS_NAME: `${text}.${WEB}`, DNS_VIP: 'auto', FLOW_GRACE_SECONDS: '4' },
  });
  const end = async (): Promise<void> => void (await host.dockerd.docker('stop', id));
  return { text, end };
}

test(
  'No connection of clients that resolve once fails while instances move between hosts and ports',
  hosts.options,
  hosts.on(async ({ a, b, c }) => {
    let running = [await instanceOn(b), await instanceOn(c), await instanceOn(b)];
    const vip = await virtualAddress(a, WEB);
    const [before, onB] = [await virtualAddress(b, WEB), await virtualAddress(c, WEB)];
    assert.deepEqual([before, onB], [vip, vip]);
    const isEach = async (): Promise<boolean> =>
      Object.keys((await connectOften(a, CONTAINER, [WEB, 80], { count: 50 })).replies).length ===
      3;
    await until('every instance is reached', isEach, 20_000);
    let isDone = false;
    const clients = [a, b].map((host) =>
      connectOften(host, CONTAINER, [WEB, 80], { count: CONNECTS, pauseMs: 1 }),
    );
    const connecting = Promise.all(clients).finally(() => {
      isDone = true;
    });
    const texts = new Set(running.map(({ text }) => text));
    let replaced = 0;
    for (let i = 0; !isDone || i < 3; i++) {
      const [oldest, ...others] = running;
      const next = await instanceOn(i % 2 === 0 ? c : b);
      running = [...others, next];
      texts.add(next.text);
      await oldest?.end();
      replaced++;
    }
    const seen = await connecting;
    const failed = seen.map(({ failed: count, error }) => [count, error]);
    assert.deepEqual(failed, [
      [0, ''],
      [0, ''],
    ]);
    const reached = new Set(seen.flatMap(({ replies }) => Object.keys(replies)));
    assert.deepEqual(
      [...reached].filter((text) => !texts.has(text)),
      [],
    );
    assert.ok(reached.size > 3, `${replaced} replaced, ${[...reached].join()} reached`);
    assert.equal(await virtualAddress(a, WEB), vip);
  }),
);

test(
  'One UDP socket follows the instances of its service, and is refused while there is none',
  hosts.options,
  hosts.on(async ({ a, b, c }) => {
    const name = 'resolver.skydns.local';
    const start = (host: Host) =>
      serveFlows(host, {
        ...{ text: host.name, ports: [53], publish: ['53/udp'] },
        env: { DNS_NAME: `${host.name}.${name}`, DNS_VIP: 'auto' },
      });
    const onB = await start(b);
    await virtualAddress(a, name);
    const socket = watchFlow(a, CONTAINER, 'datagrams', [name, 53], { everyMs: 100, seconds: 60 });
    const sees = async (what: string, isIt: (text: string) => boolean): Promise<void> => {
      await until(
        what,
        () => {
          const last = socket.seen().at(-1);
          return last !== undefined && isIt(last.reply ?? last.error ?? '');
        },
        20_000,
      ).catch((error) => {
        throw new Error(`${error}\n${JSON.stringify(socket.seen())}${socket.stderr()}`);
      });
    };
    await sees('b answers', (text) => text.startsWith('b '));
    const onC = await start(c);
    await b.dockerd.docker('kill', onB);
    await sees('c answers after b has gone', (text) => text.startsWith('c '));
    await c.dockerd.docker('kill', onC);
    await sees('nobody answers', (text) => text === 'Connection refused');
    await start(b);
    await sees('b answers again', (text) => text.startsWith('b '));
  }),
);
