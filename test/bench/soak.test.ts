/** The soak itself: its judge knows right from wrong, and a short one passes. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Checker } from '../../bench/soak/checker.ts';
import { addressOf, type Habit, Ledger, SOAK_NAMES } from '../../bench/soak/ledger.ts';
import { growth, type Vitals } from '../../bench/soak/vitals.ts';
import { encodeResponse } from '../../src/dns/encode.ts';
import type { Response } from '../../src/dns/message.ts';
import { addressRr, queryFor, responseWith } from '../support/replies.ts';

const PROGRAM = fileURLToPath(new URL('../../bench/soak.ts', import.meta.url));

function named(habit: Habit) {
  const found = SOAK_NAMES.find((name) => name.habit === habit);
  assert.ok(found !== undefined);
  return found;
}

interface Case {
  readonly habit: Habit;
  /** Begun, and settled, when the question is asked. */
  readonly newest: number;
  readonly oldest: number;
  /** Begun while it is on its way. */
  readonly later?: number;
  /** The state that is answered; undefined: that there is no such name. */
  readonly answered: number | undefined;
  readonly change?: (reply: Uint8Array) => void;
}

/** How many answers the judge finds wrong: 0 or 1. */
function judge({ habit, newest, oldest, later, answered, change }: Case): number {
  const { index, name } = named(habit);
  const ledger = new Ledger();
  const checker = new Checker(ledger);
  ledger.begin(index, newest);
  ledger.settle(index, oldest);
  const octets = new Uint8Array(512);
  checker.ask(index, octets, 0);
  if (later !== undefined) {
    ledger.begin(index, later);
    ledger.settle(index, later);
  }
  const response: Response =
    answered === undefined
      ? responseWith({ rcode: 3 })
      : responseWith({ answer: [addressRr(name, addressOf(index, answered))] });
  const reply = encodeResponse({ ...queryFor(name, 1), id: 0 }, response, 512);
  // The judge wants what servers send: the owner as a pointer to the question.
  change?.(reply);
  checker.hear(reply, 0, reply.length);
  assert.equal(checker.verdicts().answered, 1);
  return checker.verdicts().wrong;
}

describe('the judge', () => {
  const right: Record<string, Case> = {
    'what was settled': { habit: 'moves', oldest: 3, newest: 3, answered: 3 },
    'what is yet to settle': { habit: 'moves', oldest: 3, newest: 7, answered: 5 },
    'what began meanwhile': { habit: 'moves', oldest: 3, newest: 3, later: 5, answered: 5 },
    'what settled meanwhile': { habit: 'moves', oldest: 3, newest: 3, later: 5, answered: 3 },
    'a name that is going': { habit: 'comes', oldest: 1, newest: 2, answered: undefined },
    'a name that is not gone': { habit: 'comes', oldest: 1, newest: 2, answered: 1 },
    'a name that nobody has': { habit: 'never', oldest: 0, newest: 0, answered: undefined },
  };
  for (const [what, one] of Object.entries(right)) {
    it(`takes ${what}`, () => assert.equal(judge(one), 0));
  }

  const wrong: Record<string, Case> = {
    'an old address': { habit: 'moves', oldest: 3, newest: 5, answered: 1 },
    'an address of the future': { habit: 'moves', oldest: 3, newest: 5, answered: 7 },
    'that a name is absent that moves': {
      habit: 'moves',
      oldest: 1,
      newest: 5,
      answered: undefined,
    },
    'a name that is long gone': { habit: 'comes', oldest: 2, newest: 2, answered: 1 },
    'that a name is absent that came': {
      habit: 'comes',
      oldest: 3,
      newest: 3,
      answered: undefined,
    },
    'a name that nobody has': { habit: 'never', oldest: 0, newest: 0, answered: 1 },
    'no authority': {
      ...{ habit: 'stays', oldest: 1, newest: 1, answered: 1 },
      change: (reply) => {
        reply[2] = (reply[2] ?? 0) & ~0x04;
      },
    },
    'another name’s question': {
      ...{ habit: 'stays', oldest: 1, newest: 1, answered: 1 },
      change: (reply) => {
        reply[13] = (reply[13] ?? 0) + 1;
      },
    },
    SERVFAIL: {
      ...{ habit: 'stays', oldest: 1, newest: 1, answered: undefined },
      change: (reply) => {
        reply[3] = 2;
      },
    },
  };
  for (const [what, one] of Object.entries(wrong)) {
    it(`takes no ${what}`, () => assert.equal(judge(one), 1));
  }

  it('counts what has no answer, and answers to nothing', () => {
    const checker = new Checker(new Ledger());
    const octets = new Uint8Array(512);
    for (let i = 0; i < 3; i++) checker.ask(named('never').index, octets, 0);
    assert.equal(checker.verdicts().lost, 3);
    checker.hear(new Uint8Array(12).fill(9), 0, 12);
    assert.equal(checker.verdicts().wrong, 1);
  });

  it('sees what grows', () => {
    const at = (atMs: number, more: Partial<Vitals> = {}): Vitals => {
      return { atMs, rssBytes: 100e6, heapBytes: 30e6, fds: 30, dropped: 0, ...more };
    };
    const times = Array.from({ length: 30 }, (_, i) => i);
    assert.deepEqual(growth(times.map((i) => at(i))), []);
    assert.deepEqual(growth(times.map((i) => at(i, { fds: 30 + i }))).length, 1);
    assert.deepEqual(growth(times.map((i) => at(i, { heapBytes: (30 + 3 * i) * 1e6 }))).length, 1);
    assert.deepEqual(growth([at(0)]).length, 1);
  });
});

it('a short soak ends well', { timeout: 120_000 }, async () => {
  const args = ['--import', 'tsx', PROGRAM, '--seconds', '12', '--rate', '500', '--away', '1'];
  const { code, output } = await new Promise<{ code: number; output: string }>((resolve) => {
    const child = execFile(process.execPath, args, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode ?? -1, output: stdout + stderr });
    });
  });
  assert.equal(code, 0, output);
  assert.match(output, /\| wrong answers \| 0 \|/);
});
