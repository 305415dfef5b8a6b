/** The soak test: its checker tells right answers from wrong ones, and a short soak passes. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Checker } from '../../bench/soak/checker.ts';
import { addressOf, type Behaviour, Ledger, SOAK_NAMES } from '../../bench/soak/ledger.ts';
import { growth, type ServerStats } from '../../bench/soak/serverStats.ts';
import { encodeResponse } from '../../src/dns/encode.ts';
import type { Response } from '../../src/dns/message.ts';
import { addressRr, queryFor, responseWith } from '../support/replies.ts';

const PROGRAM = fileURLToPath(new URL('../../bench/soak.ts', import.meta.url));

function named(behaviour: Behaviour) {
  const found = SOAK_NAMES.find((name) => name.behaviour === behaviour);
  assert.ok(found !== undefined);
  return found;
}

interface Case {
  readonly behaviour: Behaviour;
  /** The newest state begun and the oldest state still valid when the query is sent. */
  readonly newest: number;
  readonly oldest: number;
  /** A state that begins and completes while the query is pending. */
  readonly later?: number;
  /** The state in the answer; undefined: NXDOMAIN. */
  readonly answered: number | undefined;
  readonly change?: (reply: Uint8Array) => void;
}

/** The number of answers that the checker finds wrong: 0 or 1. */
function wrongAnswers({ behaviour, newest, oldest, later, answered, change }: Case): number {
  const { index, name } = named(behaviour);
  const ledger = new Ledger();
  const checker = new Checker(ledger);
  ledger.begin(index, newest);
  ledger.confirm(index, oldest);
  const octets = new Uint8Array(512);
  checker.writeQuery(index, octets, 0);
  if (later !== undefined) {
    ledger.begin(index, later);
    ledger.confirm(index, later);
  }
  const response: Response =
    answered === undefined
      ? responseWith({ rcode: 3 })
      : responseWith({ answer: [addressRr(name, addressOf(index, answered))] });
  const reply = encodeResponse({ ...queryFor(name, 1), id: 0 }, response, 512);
  // The checker expects the owner name as a pointer to the question, as servers send it.
  change?.(reply);
  checker.check(reply, 0, reply.length);
  assert.equal(checker.result().answered, 1);
  return checker.result().wrong;
}

describe('Checker', () => {
  const right: Record<string, Case> = {
    'the current state': { behaviour: 'moves', oldest: 3, newest: 3, answered: 3 },
    'a state between the oldest and the newest': {
      behaviour: 'moves',
      oldest: 3,
      newest: 7,
      answered: 5,
    },
    'a state that began while the query was pending': {
      behaviour: 'moves',
      oldest: 3,
      newest: 3,
      later: 5,
      answered: 5,
    },
    'the state that was replaced while the query was pending': {
      behaviour: 'moves',
      oldest: 3,
      newest: 3,
      later: 5,
      answered: 3,
    },
    'NXDOMAIN for a name that is being deleted': {
      behaviour: 'comes',
      oldest: 1,
      newest: 2,
      answered: undefined,
    },
    'an address for a name that is being deleted': {
      behaviour: 'comes',
      oldest: 1,
      newest: 2,
      answered: 1,
    },
    'NXDOMAIN for a name that never exists': {
      behaviour: 'never',
      oldest: 0,
      newest: 0,
      answered: undefined,
    },
  };
  for (const [what, one] of Object.entries(right)) {
    it(`The soak's checker accepts ${what}`, () => assert.equal(wrongAnswers(one), 0));
  }

  const wrong: Record<string, Case> = {
    'an old address': { behaviour: 'moves', oldest: 3, newest: 5, answered: 1 },
    'an address that is not written yet': { behaviour: 'moves', oldest: 3, newest: 5, answered: 7 },
    'NXDOMAIN for a name that only changes its address': {
      behaviour: 'moves',
      oldest: 1,
      newest: 5,
      answered: undefined,
    },
    'an address for a deleted name': { behaviour: 'comes', oldest: 2, newest: 2, answered: 1 },
    'NXDOMAIN for a name that was created': {
      behaviour: 'comes',
      oldest: 3,
      newest: 3,
      answered: undefined,
    },
    'an address for a name that never exists': {
      behaviour: 'never',
      oldest: 0,
      newest: 0,
      answered: 1,
    },
    'an answer without AA': {
      ...{ behaviour: 'stays', oldest: 1, newest: 1, answered: 1 },
      change: (reply) => {
        reply[2] = (reply[2] ?? 0) & ~0x04;
      },
    },
    'an answer with another question': {
      ...{ behaviour: 'stays', oldest: 1, newest: 1, answered: 1 },
      change: (reply) => {
        reply[13] = (reply[13] ?? 0) + 1;
      },
    },
    SERVFAIL: {
      ...{ behaviour: 'stays', oldest: 1, newest: 1, answered: undefined },
      change: (reply) => {
        reply[3] = 2;
      },
    },
  };
  for (const [what, one] of Object.entries(wrong)) {
    it(`The soak's checker rejects ${what}`, () => assert.equal(wrongAnswers(one), 1));
  }

  it('The soak’s checker counts queries without an answer and answers without a query', () => {
    const checker = new Checker(new Ledger());
    const octets = new Uint8Array(512);
    for (let i = 0; i < 3; i++) checker.writeQuery(named('never').index, octets, 0);
    assert.equal(checker.result().lost, 3);
    checker.check(new Uint8Array(12).fill(9), 0, 12);
    assert.equal(checker.result().wrong, 1);
  });

  it('The soak reports open files or heap that grow, and a run that is too short', () => {
    const at = (atMs: number, more: Partial<ServerStats> = {}): ServerStats => {
      return { atMs, rssBytes: 100e6, heapBytes: 30e6, fds: 30, dropped: 0, ...more };
    };
    const times = Array.from({ length: 30 }, (_, i) => i);
    assert.deepEqual(growth(times.map((i) => at(i))), []);
    assert.deepEqual(growth(times.map((i) => at(i, { fds: 30 + i }))).length, 1);
    assert.deepEqual(growth(times.map((i) => at(i, { heapBytes: (30 + 3 * i) * 1e6 }))).length, 1);
    assert.deepEqual(growth([at(0)]).length, 1);
  });
});

it('A soak of 12 seconds passes', { timeout: 120_000 }, async () => {
  const args = ['--import', 'tsx', PROGRAM, '--seconds', '12', '--rate', '500', '--away', '1'];
  const { code, output } = await new Promise<{ code: number; output: string }>((resolve) => {
    const child = execFile(process.execPath, args, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode ?? -1, output: stdout + stderr });
    });
  });
  assert.equal(code, 0, output);
  assert.match(output, /\| wrong answers \| 0 \|/);
});
