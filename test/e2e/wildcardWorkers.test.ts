/** Stored wildcards in workers while names below them come and go. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseSocketAddress, type SocketAddress } from '../../src/dns/address.ts';
import type { Message } from '../../src/dns/message.ts';
import { printRdata } from '../../src/dns/presentation/presentation.ts';
import { Rcode } from '../../src/dns/rr.ts';
import { startCli } from '../support/cliProcess.ts';
import { askMany } from '../support/manyQuestions.ts';
import { NO_WORKERS } from '../support/workerListeners.ts';
import { question } from '../support/zone.ts';

const ROUNDS = 60;
const NAMES = 40;

/** The keys that come and go, in that order; the first questions' names, and all their answers. */
const CHANGING = [
  // The encloser of the asked names comes and goes with its wildcard.
  { keys: ['c/*'], asked: (i: number) => `n${i}.c`, answers: ['192.0.2.1', '192.0.2.2'] },
  { keys: ['d/d/*'], asked: (i: number) => `n${i}.d.d`, answers: ['192.0.2.1', '192.0.2.2'] },
  // The asked name itself comes and goes, too.
  { keys: ['b/*', 'b/x'], asked: () => 'x.b', answers: ['192.0.2.1', '192.0.2.2', '192.0.2.3'] },
] as const;

const ADDRESSES: Readonly<Record<string, string>> = { 'b/x': '192.0.2.3', '*': '192.0.2.1' };

describe('Stored wildcards in workers', { skip: NO_WORKERS }, () => {
  it('Each answer is one that the zone gave before or after a change', async (t) => {
    const server = startCli([
      ...['serve', '--store', 'memory:', '--no-rec', '--workers', '2'],
      ...['--addr', '127.0.0.1:0', '--http', '127.0.0.1:0'],
    ]);
    t.after(() => server.end('SIGKILL'));
    const { dns, http } = await server.logged('serving');
    const address = parseSocketAddress((dns as string[])[0] ?? '') as SocketAddress;
    const keys = `http://${http}/v2/keys/skydns/local/skydns`;
    const change = async (key: string, method: 'PUT' | 'DELETE'): Promise<void> => {
      const value = JSON.stringify({ host: ADDRESSES[key] ?? '192.0.2.2' });
      const body = method === 'PUT' ? new URLSearchParams({ value }) : null;
      const { status } = await fetch(`${keys}/${key}`, { method, body });
      assert.ok(status < 300, `${method} ${key}: ${status}`);
    };
    await change('*', 'PUT');
    let isOver = false;
    const changes = CHANGING.map(async ({ keys: own }) => {
      for (let round = 0; round < ROUNDS; round++) {
        for (const method of ['PUT', 'DELETE'] as const)
          for (const key of own) await change(key, method);
      }
    });
    const changed = Promise.all(changes).finally(() => {
      isOver = true;
    });
    const questions = CHANGING.flatMap(({ asked }) =>
      Array.from({ length: NAMES }, (_, i) => question(`${asked(i)}.skydns.local.`, 'A')),
    );
    const seen = CHANGING.map(() => new Set<string>());
    while (!isOver) {
      const replies = await askMany(address, questions);
      for (const [i, reply] of replies.entries()) seen[Math.floor(i / NAMES)]?.add(outcome(reply));
    }
    await changed;
    for (const [i, { answers }] of CHANGING.entries())
      assert.deepEqual([...(seen[i] ?? [])].sort(), [...answers]);
    for (const reply of await askMany(address, questions)) {
      assert.equal(outcome(reply), '192.0.2.1', 'at last all names are missing again');
    }
  });
});

function outcome({ rcode, answer }: Message): string {
  if (rcode !== Rcode.NOERROR) return `rcode ${rcode}`;
  return answer.length === 0 ? 'no records' : answer.map(printRdata).join(' ');
}
