/** Any history of desired records and results of probes: a check has the last result since its record is desired. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { Checks, type ProbeTarget } from '../../../src/registrar/observe/checks.ts';
import { stamped } from '../../support/desiredRecords.ts';
import { FakeClock } from '../../support/fakeClock.ts';

const INTERVAL_MS = 10_000;

function checked(container: string, key: string, port: number) {
  const check = { kind: 'tcp', intervalMs: INTERVAL_MS, timeoutMs: 1_000 } as const;
  return stamped(container, key, { check, fields: { host: '192.0.2.1', port, ttl: 30 } });
}

/** The first two share a check, and the last has none. */
const RECORDS = [
  checked('a', '/s/a', 80),
  checked('a', '/s/b', 80),
  checked('a', '/s/c', 81),
  checked('b', '/s/d', 80),
  stamped('b', '/s/e'),
];

/** The check of a record; `undefined` without one. */
const CHECK_OF = ['a80', 'a80', 'a81', 'b80', undefined];

interface OpenProbe {
  readonly signal: AbortSignal;
  readonly end: (isPassing: boolean) => void;
}

class Scene {
  readonly #clock = new FakeClock();
  readonly #open: OpenProbe[] = [];
  readonly #checks = new Checks({
    probe: (_: ProbeTarget, signal) => new Promise((end) => this.#open.push({ signal, end })),
    clock: this.#clock,
    onChange: () => {},
  });
  /** The results so far, by the checks that should run. */
  #results = new Map<string, boolean | undefined>();
  #passes = true;

  /** Compares the states of these records with the model. */
  async run(indices: readonly number[]): Promise<void> {
    const wanted = new Set(indices.flatMap((i) => CHECK_OF[i] ?? []));
    this.#results = new Map([...wanted].map((id) => [id, this.#results.get(id)]));
    const states = this.#checks.run(indices.flatMap((i) => RECORDS[i] ?? []));
    RECORDS.forEach((record, i) => {
      const id = CHECK_OF[i];
      const isRun = id !== undefined && indices.includes(i);
      assert.equal(states.get(record), isRun ? this.#stateOf(id) : undefined);
      assert.equal(this.#checks.stateOf(record), id && this.#stateOf(id));
    });
    await turn();
    const alive = this.#open.filter(({ signal }) => !signal.aborted);
    assert.ok(alive.length <= wanted.size, 'a check has one probe at a time');
  }

  /** Ends every open probe, also those of checks that have ended, and starts the next ones. */
  async endProbes(): Promise<void> {
    const hasEnded = this.#open.length > 0;
    for (const { end } of this.#open.splice(0)) end(this.#passes);
    if (hasEnded) for (const id of this.#results.keys()) this.#results.set(id, this.#passes);
    this.#passes = !this.#passes;
    await turn();
    await this.#clock.advance(INTERVAL_MS);
    await turn();
    assert.equal(this.#open.length, this.#results.size, 'each check has started a probe again');
  }

  #stateOf(id: string): string {
    const isPassing = this.#results.get(id);
    return isPassing === undefined ? 'unknown' : isPassing ? 'passing' : 'failing';
  }
}

const step = fc.oneof(
  { weight: 3, arbitrary: fc.subarray(RECORDS.map((_, i) => i)) },
  { weight: 2, arbitrary: fc.constant('end' as const) },
);

test('After any history exactly the checks of the desired records run, each with its last result', () =>
  fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 15 }), async (steps) => {
      const scene = new Scene();
      for (const each of steps) {
        if (each === 'end') await scene.endProbes();
        else await scene.run(each);
      }
    }),
    { numRuns: 200 },
  ));
