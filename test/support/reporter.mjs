/**
 * A reporter for logs: one line for each finished file with its time and the times that it measured (`WHERE: WHAT: N
 * ms` in its output), every failure in full, then node's closing lines (`# tests N`, `# pass N`, ...).
 */
import { relative } from 'node:path';
import { inspect } from 'node:util';

/** Turns the events of node's test runner into lines. */
export async function* compact(events) {
  const files = new Map();
  const of = (file) => {
    const existing = files.get(file);
    if (existing !== undefined) return existing;
    const added = {
      passed: 0,
      skipped: [],
      failures: [],
      running: new Map(),
      output: '',
      ms: undefined,
    };
    files.set(file, added);
    return added;
  };
  let current;
  for await (const { type, data } of events) {
    const file = data.file === undefined ? undefined : of(data.file);
    if (type === 'test:diagnostic' && data.nesting === 0 && data.file === undefined) {
      if (current !== undefined) yield fileLine(current, files.get(current));
      current = undefined;
      yield `# ${data.message}\n`;
    }
    if (file === undefined) continue;
    note(file, type, data);
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    // Node reports the files one after the other: a result of another file means that the last one is done.
    if (current !== undefined && current !== data.file) yield fileLine(current, files.get(current));
    current = data.file;
    if (type === 'test:fail' && !isTodo(data) && !isOnlyParent(data)) yield failure(data, file);
  }
}

function note(file, type, data) {
  if (type === 'test:stderr' || type === 'test:stdout') file.output += data.message;
  if (type === 'test:dequeue' && isFile(data)) file.ms = -performance.now();
  else if (type === 'test:dequeue') file.running.set(data.name, true);
  if (type === 'test:complete' && isFile(data)) file.ms += performance.now();
  else if (type === 'test:complete') file.running.delete(data.name);
  if (type === 'test:pass' && data.skip !== undefined) file.skipped.push(data);
  else if (type === 'test:pass') file.passed += 1;
  else if (type === 'test:fail' && !isTodo(data) && !isOnlyParent(data)) file.failures.push(data);
}

const isFile = (data) => data.name === data.file;
const isTodo = (data) => data.todo !== undefined && data.todo !== false;
const isOnlyParent = (data) => data.details.error?.failureType === 'subtestsFailed';

const MEASUREMENT = /^[a-z]+: .*: \d+ ms$/gm;

function fileLine(name, { passed, skipped, failures, output, ms }) {
  const counts = [
    `${passed} passed`,
    ...(skipped.length > 0 ? [`${skipped.length} skipped`] : []),
    ...(failures.length > 0 ? [`${failures.length} failed`] : []),
  ];
  const reasons = skipped.map((test) => `       skipped: ${test.name} (${test.skip})\n`).join('');
  const measurements = (output.match(MEASUREMENT) ?? []).map((line) => `       ${line}\n`).join('');
  // A test defined in another file is reported with that file's name, which has no process of its own.
  const time = ms === undefined ? '' : ` ${Math.round(ms / 1000)} s`;
  const verdict = failures.length > 0 ? 'FAIL' : 'ok  ';
  return `${verdict} ${relative('.', name)} (${counts.join(', ')})${time}\n${reasons}${measurements}`;
}

function failure(data, file) {
  const error = data.details.error?.cause ?? data.details.error;
  const lines = [`FAIL ${relative('.', data.file)}`];
  if (!isFile(data)) lines.push(`  ${data.name}`);
  if (isFile(data) && file.running.size > 0) {
    lines.push(`  while running: ${[...file.running.keys()].join(', ')}`);
  }
  lines.push(indent(typeof error === 'string' ? error : inspect(error, { depth: 6 })));
  if (isFile(data) && file.output !== '')
    lines.push('  its output:', indent(file.output.slice(-8000)));
  return `${lines.join('\n')}\n`;
}

function indent(text) {
  return text.replace(/^/gm, '    ').trimEnd();
}
