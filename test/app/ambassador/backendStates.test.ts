/** The states of backends that `ambassador status` and the metrics of a server show, in a network of its own. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import test, { before } from 'node:test';
import { callCli } from '../../support/cli.ts';
import { ON_FREE_PORTS, startCli } from '../../support/cliProcess.ts';
import { command, enterOwnNetwork, noOwnNetwork } from '../../support/ownNetwork.ts';
import { until } from '../../support/until.ts';

const options = noOwnNetwork === undefined ? {} : { skip: noOwnNetwork };
const [FIRST, SECOND, THIRD] = ['10.1.0.1', '10.1.0.2', '10.1.0.3'] as const;
const PORT = 5432;
const TOKEN = 's3cr3t';
const DB = 'db.skydns.local';
const PATIENCE_MS = 20_000;

before(() => {
  if (noOwnNetwork !== undefined) return;
  enterOwnNetwork();
  command('ip', 'link', 'add', 'lan', 'type', 'bridge');
  for (const address of [FIRST, SECOND, THIRD])
    command('ip', 'address', 'add', `${address}/24`, 'dev', 'lan');
  command('ip', 'link', 'set', 'lan', 'up');
});

async function startBackend(address: string) {
  const server = createServer((socket) => socket.destroy()).listen(PORT, address);
  await once(server, 'listening');
  return server;
}

test(
  'A backend that has left drains until its time is over, and one that fails the probe is unreachable',
  options,
  async () => {
    const serve = ['serve', ...ON_FREE_PORTS, '--store', 'memory:', '--vip'];
    const args = [...serve, '--ambassador-probe', '1', '--ambassador-drain', '5'];
    const server = startCli(args, { SORADNS_HTTP_TOKEN: TOKEN });
    const backends = await Promise.all([FIRST, SECOND, THIRD].map(startBackend));
    try {
      const { http } = await server.logged('serving');
      const url = `http://${http}`;
      const env = { SORADNS_STORE: url, SORADNS_TOKEN: TOKEN };
      const cli = async (...words: readonly string[]): Promise<string> => {
        const { code, stdout, stderr } = await callCli(words, { env });
        assert.equal(code, 0, stderr);
        return stdout;
      };
      const states = async (): Promise<string> => {
        const report = JSON.parse(await cli('ambassador', 'status', '--json', '--url', url));
        const shown = report.routes.flatMap((route: { backends: object[] }) => route.backends);
        return shown
          .map((each: { address: string; state: string }) => `${each.address} ${each.state}`)
          .sort()
          .join(', ');
      };
      const become = (expected: string) =>
        until(expected, async () => (await states()) === expected, PATIENCE_MS);
      const counted = async (state: string): Promise<string | undefined> => {
        const page = await (await fetch(`${url}/metrics`)).text();
        return new RegExp(`^soradns_ambassador_backends\\{state="${state}"\\} (\\d+)$`, 'm').exec(
          page,
        )?.[1];
      };
      for (const [index, address] of [FIRST, SECOND, THIRD].entries())
        await cli('set', `${index + 1}.${DB}`, '--host', address, '--port', String(PORT));
      await cli('vip', 'add', DB);
      await become(`${FIRST}:5432 ok, ${SECOND}:5432 ok, ${THIRD}:5432 ok`);
      backends[1]?.close();
      await become(`${FIRST}:5432 ok, ${SECOND}:5432 unreachable, ${THIRD}:5432 ok`);
      await cli('rm', `3.${DB}`);
      await become(`${FIRST}:5432 ok, ${SECOND}:5432 unreachable, ${THIRD}:5432 draining`);
      assert.deepEqual(await Promise.all(['ok', 'unreachable', 'draining'].map(counted)), [
        ...['1', '1', '1'],
      ]);
      assert.match(
        await cli('ambassador', 'status', '--url', url),
        /10\.1\.0\.3:5432 +draining [1-5]s /,
      );
      await become(`${FIRST}:5432 ok, ${SECOND}:5432 unreachable`);
    } finally {
      for (const each of backends) each.close();
      await server.end();
    }
  },
);

test(
  'A backend at a forbidden address is unused, and a route with no other is empty',
  options,
  async () => {
    const server = startCli(['serve', ...ON_FREE_PORTS, '--store', 'memory:', '--vip'], {
      SORADNS_HTTP_TOKEN: TOKEN,
    });
    try {
      const { http } = await server.logged('serving');
      const url = `http://${http}`;
      const env = { SORADNS_STORE: url, SORADNS_TOKEN: TOKEN };
      const set = async (name: string, host: string) =>
        assert.equal(
          (await callCli(['set', name, '--host', host, '--port', '5432'], { env })).code,
          0,
        );
      const ambassador = startCli(
        [
          'ambassador',
          '127.0.0.1:5433=db.skydns.local',
          '--http',
          '127.0.0.1:5434',
          '--store',
          url,
        ],
        { SORADNS_TOKEN: TOKEN },
      );
      try {
        await set('1.db.skydns.local', '127.0.0.1');
        assert.equal((await callCli(['vip', 'add', 'db.skydns.local'], { env })).code, 0);
        await ambassador.logged('carrying connections');
        for (const at of [url, 'http://127.0.0.1:5434']) {
          const states = async (): Promise<string> => {
            const args = ['ambassador', 'status', '--json', '--url', at];
            const { routes } = JSON.parse((await callCli(args, { env })).stdout);
            return routes
              .map(({ state, backends }: { state: string; backends: { state: string }[] }) =>
                [state, ...backends.map((backend) => backend.state)].join(' '),
              )
              .join();
          };
          await set('1.db.skydns.local', '127.0.0.1');
          await until(
            `empty unused at ${at}`,
            async () => (await states()) === 'empty unused',
            PATIENCE_MS,
          );
          await set('1.db.skydns.local', FIRST);
          await until(`ok at ${at}`, async () => (await states()) === 'ok ok', PATIENCE_MS);
        }
      } finally {
        await ambassador.end();
      }
    } finally {
      await server.end();
    }
  },
);
