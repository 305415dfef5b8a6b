/** The interfaces of this host, when this process has no descriptor left with which to list them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { networkInterfaces } from 'node:os';
import test from 'node:test';
import { interfaceAddresses } from '../../src/kernel/interfaces.ts';

const SOURCE = new URL('../../src/kernel/interfaces.ts', import.meta.url);
const PROGRAM = `
import { openSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { interfaceAddresses } from '${SOURCE}';
const before = interfaceAddresses().length;
let isOut = false;
while (!isOut) try { openSync('/dev/null', 'r'); } catch { isOut = true; }
let problem = 'none';
try { networkInterfaces(); } catch (error) { problem = error.code; }
process.stdout.write([problem, before, interfaceAddresses().length].join(' '));
`;

test('All addresses of this host are listed', () => {
  const all = Object.values(networkInterfaces()).flatMap((some = []) => some);
  assert.deepEqual(interfaceAddresses(), all);
  assert.ok(all.some(({ address }) => address === '127.0.0.1'));
});

test('The former list stays while the process has no descriptor left', () => {
  const command = 'ulimit -n 128 && exec "$0" --import tsx --input-type module --eval "$1"';
  const child = spawnSync('sh', ['-c', command, process.execPath, PROGRAM], { encoding: 'utf8' });
  const count = interfaceAddresses().length;
  assert.equal(child.stdout, `ERR_SYSTEM_ERROR ${count} ${count}`, child.stderr);
});
