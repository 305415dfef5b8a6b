import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RegistrarBench } from '../support/registrarBench.ts';

const WEB = { env: { DNS_NAME: 'web.skydns.local' }, exposed: ['80/tcp'] };

async function onBench(use: (bench: RegistrarBench) => Promise<void>): Promise<void> {
  const bench = new RegistrarBench();
  try {
    await use(bench);
  } finally {
    await bench.close();
  }
}

describe('a container in DNS', () => {
  it('appears when it starts and goes when it dies', () =>
    onBench(async (bench) => {
      bench.start();
      await bench.settle();
      const web = bench.engine.run(WEB);
      assert.deepEqual(await bench.records(), {
        'local/skydns/web': {
          host: '172.17.0.2',
          port: 80,
          ttl: 30,
          owner: { r: 'ENGINE:1', c: web.id.slice(0, 12), s: web.startedAt },
        },
      });
      bench.engine.die(web);
      assert.deepEqual(await bench.keys(), []);
    }));
});
