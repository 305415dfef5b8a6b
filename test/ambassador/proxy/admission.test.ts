/** The limits of a proxy: how many connections it carries, and how many of one source address. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { Admission, MAX_HELD } from '../../../src/ambassador/proxy/admission.ts';
import { MAX_BEGUN } from '../../../src/ambassador/proxy/carry/carrier.ts';

interface Admitted {
  readonly source: string;
  readonly connection: { start(): void };
  isRunning: boolean;
}

test('Admission never exceeds a limit, and the connection that waits longest starts next', () => {
  const step = fc.oneof(
    fc.record({ source: fc.constantFrom('', '10.0.0.1', '10.0.0.2', '10.0.0.3') }),
    fc.record({ end: fc.nat() }),
  );
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 6 }),
      fc.array(step, { maxLength: 80 }),
      (maxConnections, maxPerSource, steps) => {
        const admission = new Admission(
          { maxConnections, maxPerSource },
          { permit: () => assert.fail('no room is ample below such limits'), count: () => 0 },
        );
        const admitted: Admitted[] = [];
        const running = () => admitted.filter(({ isRunning }) => isRunning).length;
        for (const one of steps) {
          if ('end' in one) {
            const [gone] = admitted.splice(one.end % Math.max(1, admitted.length), 1);
            if (gone !== undefined) admission.release(gone.source, gone.connection);
          } else {
            const { source } = one;
            const ofSource = admitted.filter((each) => each.source === source).length;
            const entry: Admitted = {
              source,
              isRunning: false,
              connection: {
                start: () => {
                  const first = admitted.find(({ isRunning }) => !isRunning);
                  assert.equal(first, entry, 'the first that waits starts');
                  entry.isRunning = true;
                },
              },
            };
            const answer = admission.admit(source, entry.connection);
            const isTooMany = source !== '' && ofSource >= maxPerSource;
            assert.equal(answer === 'sourceLimit', isTooMany);
            if (isTooMany) continue;
            assert.equal(answer, running() < maxConnections ? 'start' : 'hold');
            entry.isRunning = answer === 'start';
            admitted.push(entry);
          }
          assert.equal(running(), Math.min(maxConnections, admitted.length));
        }
      },
    ),
  );
});

test('As many connections wait as a queue of the kernel holds', () => {
  const admission = new Admission(
    { maxConnections: 1, maxPerSource: 10_000 },
    { permit: () => {}, count: () => 0 },
  );
  const connection = () => ({ start: () => {} });
  const first = connection();
  assert.equal(admission.admit('10.0.0.1', first), 'start');
  for (let i = 0; i < MAX_HELD; i++)
    assert.equal(admission.admit(`10.1.${i >> 8}.${i & 255}`, connection()), 'hold');
  assert.equal(admission.admit('10.0.0.2', connection()), 'connectionLimit');
  admission.release('10.0.0.1', first);
  assert.equal(admission.admit('10.0.0.2', connection()), 'hold');
});

test('Room is ample only while all clients that may connect meanwhile stay below every limit', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.boolean(), fc.constantFrom('10.0.0.1', '10.0.0.2', '')), {
        minLength: 100,
        maxLength: 600,
      }),
      (steps) => {
        const limits = { maxConnections: 2 * MAX_BEGUN + 60, maxPerSource: 2 * MAX_BEGUN + 30 };
        let isAmple = false;
        const permit = (now: boolean): void => {
          assert.notEqual(now, isAmple, 'it is told only of changes');
          isAmple = now;
        };
        const admission = new Admission(limits, { permit, count: () => 0 });
        assert.ok(isAmple);
        const counts = new Map<string, { start(): void }[]>();
        for (const [comes, source] of steps) {
          const some = counts.get(source) ?? [];
          counts.set(source, some);
          if (comes || some.length === 0) {
            const connection = { start: () => {} };
            if (admission.admit(source, connection) === 'start') some.push(connection);
          } else admission.release(source, some.pop() ?? assert.fail());
          const all = [...counts.values()].reduce((sum, each) => sum + each.length, 0);
          const most = Math.max(
            ...[...counts].map(([key, each]) => (key === '' ? 0 : each.length)),
          );
          const hasRoom =
            all + 2 * MAX_BEGUN <= limits.maxConnections &&
            most + 2 * MAX_BEGUN <= limits.maxPerSource;
          assert.equal(isAmple, hasRoom);
        }
      },
    ),
    { numRuns: 50 },
  );
});

test('A connection waits while clients that have begun before they were admitted take the room', () => {
  let begun = 2;
  const limits = { maxConnections: 3, maxPerSource: 10 };
  const admission = new Admission(limits, { permit: () => {}, count: () => begun });
  const [first, second] = [{ start: () => {} }, { start: () => {} }];
  assert.equal(admission.admit('10.0.0.1', first), 'start');
  assert.equal(admission.admit('10.0.0.1', second), 'hold');
  for (; begun > 0; begun--) assert.equal(admission.admit('10.0.0.2', first, true), 'start');
  assert.equal(admission.admit('10.0.0.3', { start: () => {} }), 'hold');
});

test('A client that has begun before it was admitted never exceeds the limit of its source address', () => {
  const [maxPerSource, source] = [4 * MAX_BEGUN, '10.0.0.1'];
  let begun = MAX_BEGUN;
  const limits = { maxConnections: 10_000, maxPerSource };
  const admission = new Admission(limits, { permit: () => {}, count: () => begun });
  const admit = (hasBegun: boolean) => admission.admit(source, { start: () => {} }, hasBegun);
  for (let i = begun; i < maxPerSource; i++) assert.equal(admit(false), 'start');
  assert.equal(admit(false), 'sourceLimit');
  for (; begun > 0; begun--) assert.equal(admit(true), 'start');
  assert.equal(admit(false), 'sourceLimit');
});
