import assert from 'node:assert/strict';
import test from 'node:test';
import { createFaultLog } from '../../src/observability/faultLog.ts';
import type { Log } from '../../src/observability/log.ts';

interface Line {
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

function faultLog() {
  const lines: Line[] = [];
  const ignore = () => {};
  const log: Log = {
    debug: ignore,
    info: ignore,
    warn: ignore,
    error: (fields, message) => lines.push({ message, fields }),
    setLevel: ignore,
    close: ignore,
  };
  return { faults: createFaultLog(log), lines };
}

/** Errors from one line of code, with a name that a client chose in the message. */
const faultOf = (name: string) => new TypeError(`cannot read ${name}`);

test('The fault log logs a repeated fault once, and again a minute later with a count', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { faults, lines } = faultLog();
  for (let i = 0; i < 1_000; i++) faults.report(faultOf(`n${i}`), 'a query failed');
  assert.deepEqual(
    lines.map(({ message }) => message),
    ['a query failed'],
  );
  assert.ok(
    lines[0]?.fields.err instanceof TypeError,
    'the first line has the error with its stack',
  );
  t.mock.timers.tick(60_000);
  assert.equal(lines.length, 2);
  assert.equal(lines[1]?.message, 'a query failed: the same fault occurred again');
  assert.equal(lines[1]?.fields.repeated, 999);
  t.mock.timers.tick(600_000);
  assert.equal(lines.length, 2, 'no line follows when the fault no longer occurs');
  faults.report(faultOf('later'), 'a query failed');
  assert.equal(lines.length, 3, 'a later fault is logged at once');
  faults.close();
});

test('The fault log logs faults with different origins or effects separately', () => {
  const { faults, lines } = faultLog();
  faults.report(new Error('one'), 'a query failed');
  faults.report(new Error('another line'), 'a query failed');
  for (const message of ['a query failed', 'an answer could not be published'])
    faults.report('thrown text', message);
  assert.equal(lines.length, 4);
  faults.close();
  assert.equal(lines.length, 4);
});

test('The fault log limits the number of lines for a flood of different faults', () => {
  const { faults, lines } = faultLog();
  for (let i = 0; i < 1_000; i++) {
    const error = new Error('x');
    error.name = `Error${i}`;
    faults.report(error, 'a query failed');
  }
  faults.close();
  assert.ok(lines.length <= 103, `${lines.length} lines`);
  const counted = lines.map(({ fields }) => Number(fields.repeated ?? 0));
  assert.equal(
    counted.reduce((sum, count) => sum + count, 0),
    1_000 - (lines.length - 1),
  );
});

test('The fault log keeps the count of a fault that came before a flood of others', () => {
  const { faults, lines } = faultLog();
  faults.report(faultOf('first'), 'a query failed');
  for (let i = 0; i < 200; i++) faults.report(new Error('flood'), `fault ${i}`);
  for (let i = 0; i < 5; i++) faults.report(faultOf(`again ${i}`), 'a query failed');
  faults.close();
  const own = lines.filter(
    ({ message }) => message === 'a query failed: the same fault occurred again',
  );
  assert.deepEqual(
    own.map(({ fields }) => fields.repeated),
    [5],
  );
});
