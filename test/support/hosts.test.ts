/** The tests' hosts leave nothing behind, even when the test is killed. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { dockerSkipReason } from './dockerTest.ts';
import { until } from './until.ts';

const skip = dockerSkipReason();
const options = skip === undefined ? {} : { skip };

/** Whether the process runs; a zombie has an empty command line. */
function runs(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== '';
  } catch {
    return false;
  }
}

function hasAddress(wanted: string): boolean {
  const all = Object.values(networkInterfaces()).flat();
  return all.some((each) => each?.address === wanted);
}

test(
  'The cleaner removes a killed test’s hosts with their processes, addresses and files',
  options,
  async () => {
    const support = (name: string) => JSON.stringify(fileURLToPath(new URL(name, import.meta.url)));
    const script = `
    const { startLan } = await import(${support('hostNetwork.ts')});
    const { createHost } = await import(${support('host.ts')});
    const lan = startLan();
    const setup = { name: 'a', number: 11, bridge: '172.17.0.1/16' };
    const host = await createHost(setup, [setup], lan);
    await host.startEtcd();
    await host.startSoradns();
    await host.serve({ name: 'web.skydns.local', port: 8080 });
    const pids = [host.soradns.pid, host.dockerd.pid];
    const { socket, gateway } = host.dockerd;
    console.log(JSON.stringify({ pids, socket, gateway, folder: lan.folder }));
    setInterval(() => {}, 1000);`;
    const args = ['--import', 'tsx', '--input-type=module', '--eval', script];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = await once(createInterface({ input: child.stdout }), 'line');
    const { pids, socket, gateway, folder } = JSON.parse(line);
    const before = readdirSync(folder);
    assert.deepEqual([before.length, hasAddress(gateway), pids.every(runs)], [1, true, true]);
    child.kill('SIGKILL');
    const folders = [folder, dirname(socket)];
    await until('the folders are removed', () => !folders.some(existsSync), 30_000);
    assert.deepEqual([hasAddress(gateway), pids.some(runs)], [false, false]);
  },
);
