/** Links that the kernel carries, on real Docker hosts. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { connectOften, serveFlows } from '../support/flows.ts';
import type { Host } from '../support/host.ts';
import { useHosts } from '../support/hosts.ts';
import { assertOwnLinks } from '../support/linkedConsumers.ts';
import { until } from '../support/until.ts';

const hosts = useHosts({ options: ['--ambassador', '--ambassador-plane', 'nft'] });
const PORT = 6379;
const GATEWAY = '10.88.0.1';
/** Trials of each container that gets the address of another one: with the replacements, a thousand. */
const [REPLACEMENTS, TRIALS] = [10, 100];

const createNetwork = ({ dockerd }: Host) =>
  dockerd.docker('network', 'create', '--subnet', '10.88.0.0/16', '--gateway', GATEWAY, 'other');

const serve = (host: Host, text: string) =>
  serveFlows(host, { text, ports: [PORT], env: { DNS_NAME: `1.${text}.skydns.local` } });

test(
  'Two consumers with links of one port reach different services, and one without is refused',
  hosts.options,
  hosts.on(assertOwnLinks),
);

test(
  'A consumer’s link works from each of its networks, from later ones too, and after its restart',
  hosts.options,
  hosts.on(async ({ a, b }) => {
    await serve(b, 'red');
    await createNetwork(a);
    const env = { [`DNS_LINK_${PORT}`]: 'red.skydns.local' };
    const id = await a.dockerd.run({ image: 'peer', env, network: 'other' });
    const reaches = (gateway: string) =>
      until(`the link at ${gateway} works`, async () => {
        const place = { kind: 'exec', id } as const;
        return (await connectOften(a, place, [gateway, PORT], { count: 3 })).replies.red === 3;
      });
    await reaches(GATEWAY);
    await a.dockerd.docker('network', 'connect', 'bridge', id);
    await reaches(a.bridge);
    await reaches(GATEWAY);
    await a.dockerd.docker('restart', '--time', '1', id);
    await reaches(a.bridge);
    await reaches(GATEWAY);
  }),
);

test(
  'A container that gets the address of another one never reaches what the other was linked to',
  hosts.options,
  hosts.on(async ({ a, b }) => {
    for (const text of ['red', 'blue']) await serve(b, text);
    await createNetwork(a);
    const start = (name: string, service: string | undefined, command: readonly string[]) =>
      a.dockerd.run({
        ...{ image: 'peer', name, network: 'other', command, args: ['--ip', '10.88.0.50'] },
        env: service === undefined ? {} : { [`DNS_LINK_${PORT}`]: `${service}.skydns.local` },
      });
    const trials = ['flow', 'connects', GATEWAY, `${PORT}`, `${TRIALS}`, '1'];
    const seen: Record<string, number> = {};
    for (let i = 0; i < REPLACEMENTS; i++) {
      const former = await start(`former${i}`, 'red', ['sleep', '1000']);
      await until('the link works', async () => {
        const place = { kind: 'exec', id: former } as const;
        return (await connectOften(a, place, [GATEWAY, PORT], { count: 1 })).failed === 0;
      });
      await a.dockerd.docker('rm', '--force', former);
      // Every other one has a link of its own.
      const next = await start(`next${i}`, i % 2 === 0 ? 'blue' : undefined, trials);
      await a.dockerd.docker('wait', next);
      const { replies, failed } = JSON.parse(await a.dockerd.docker('logs', next));
      for (const [text, count] of Object.entries<number>({ ...replies, failed }))
        seen[text] = (seen[text] ?? 0) + count;
      await a.dockerd.docker('rm', next);
    }
    const { blue = 0, failed = 0, ...wrong } = seen;
    assert.deepEqual(wrong, {});
    assert.equal(blue + failed, REPLACEMENTS * TRIALS);
    assert.ok(blue > 0, 'the containers with links reach their own service');
  }),
);
