/** The read-only proxy in front of a real Docker: it passes on what the registrar reads and nothing else. */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { connectEngine } from '../../../src/registrar/engine/dockerode.ts';
import { startReadOnlyProxy } from '../../../src/registrar/engine/readOnlyProxy.ts';
import { readableMetadata } from '../../../src/registrar/engine/reducedAnswers.ts';
import { startDockerd } from '../../support/dockerd.ts';
import { dockerSkipReason } from '../../support/dockerTest.ts';

const skip = dockerSkipReason();
const options = skip === undefined ? {} : { skip };

function text(socketPath: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, agent: false }, (answer) => {
      const pieces: Buffer[] = [];
      answer.on('data', (piece: Buffer) => pieces.push(piece));
      answer.on('error', reject);
      answer.on('end', () => resolve(Buffer.concat(pieces).toString()));
    });
    asked.on('error', reject);
    asked.end();
  });
}

test(
  'The proxy passes on a real Docker’s identity and default network, without its labels, proxy settings and containers',
  options,
  async () => {
    const dockerd = await startDockerd({
      config: { labels: ['secret.label=1'] },
      env: { NO_PROXY: 'secret.proxy' },
    });
    const path = join(dirname(dockerd.socket), 'proxy.sock');
    const endpoint = { kind: 'unix', path: dockerd.socket } as const;
    const metadata = readableMetadata(['DNS_', 'dns.'], []);
    const peerOf = () => ({ uid: 0, pid: 1 });
    const proxy = await startReadOnlyProxy({ endpoint, path, metadata, peerOf });
    const [direct, behind] = [connectEngine(endpoint), connectEngine({ kind: 'unix', path })];
    try {
      const id = await dockerd.run({ name: 'secret-name' });
      const secrets = new Map([
        ['/info', ['secret.label', 'secret.proxy']],
        ['/networks/bridge', ['secret-name', id]],
      ]);
      for (const [target, words] of secrets) {
        const whole = await text(dockerd.socket, target);
        const passed = await text(path, target);
        for (const word of words) {
          assert.ok(whole.includes(word), `Docker's ${target} has no ${word}`);
          assert.ok(!passed.includes(word), `${word} passes in ${target}`);
        }
      }
      const { timeNano: _, ...engine } = await direct.info();
      const { timeNano, ...same } = await behind.info();
      assert.deepEqual(same, engine);
      assert.notEqual(timeNano, undefined);
      const bridge = await direct.defaultBridge();
      assert.notEqual(bridge?.id, undefined);
      assert.deepEqual(await behind.defaultBridge(), bridge);
      assert.equal(await behind.networkDriver(bridge?.id ?? ''), 'bridge');
    } finally {
      direct.close();
      behind.close();
      await proxy.close();
      await dockerd.stop();
    }
  },
);
