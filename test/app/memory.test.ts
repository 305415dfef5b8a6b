/** The memory of an idle process, as ratios between two instants or two processes. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { ON_FREE_PORTS, startCli } from '../support/cliProcess.ts';

const MEMORY = new URL('../../src/app/process/memory.ts', import.meta.url).href;

/** Runs a module text in its own process, with the functions of memory.ts; returns the JSON that it prints. */
async function inProcess(body: string): Promise<unknown> {
  const script = `import { getHeapSpaceStatistics } from 'node:v8';
    import { compactHeap, limitNewSpace } from ${JSON.stringify(MEMORY)};
    ${body}`;
  const args = ['--import', 'tsx', '--input-type=module', '--eval', script];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout);
}

function residentOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]);
}

/** The start is over, and the server has given back what it used. */
const SETTLED_MS = 9_000;

describe('memory', () => {
  it('A limit keeps the space of new objects small until it ends', async () => {
    const [limited, free] = (await inProcess(`
      const endLimit = limitNewSpace();
      const limited = newSpace();
      endLimit();
      console.log(JSON.stringify([limited, newSpace()]));
      /** The median of five, because the space is larger or smaller for an instant around a collection. */
      function newSpace() {
        const sizes = Array.from({ length: 5 }, () => {
          allocate();
          return getHeapSpaceStatistics().find((s) => s.space_name === 'new_space').space_size;
        });
        return sizes.sort((a, b) => a - b)[2];
      }
      function allocate() {
        const kept = [];
        for (let i = 0; i < 1_000_000; i++) {
          kept.push({ i, text: [i] });
          if (kept.length > 40_000) kept.splice(0, 20_000);
        }
      }`)) as [number, number];
    assert.ok(free >= 3 * limited, `${limited} octets with the limit, ${free} without`);
  });

  it('Compacting gives the memory of garbage back to the system', async () => {
    const [before, after] = (await inProcess(`
      let garbage = Array.from({ length: 1_500_000 }, (_, i) => ({ i, text: String(i) }));
      const before = process.memoryUsage().heapTotal;
      garbage = undefined;
      compactHeap();
      console.log(JSON.stringify([before, process.memoryUsage().heapTotal]));`)) as [
      number,
      number,
    ];
    assert.ok(after < before / 2, `${before} → ${after}`);
  });

  it('The memory of an idle server does not grow, even though its metrics are read', {
    skip: process.platform !== 'linux' && 'needs /proc',
  }, async () => {
    const child = startCli(['serve', ...ON_FREE_PORTS, '--store', 'memory:']);
    try {
      const { http } = await child.logged('serving');
      const scrape = async (times: number): Promise<void> => {
        for (let left = times; left > 0; left--) {
          const response = await fetch(`http://${http}/metrics`);
          assert.ok((await response.text()).includes('process_resident_memory_bytes'));
        }
      };
      await scrape(50); // compiles what a request needs
      await sleep(SETTLED_MS);
      const before = residentOf(child.pid);
      for (let second = 0; second < 15; second++) {
        await scrape(2);
        await sleep(1_000);
      }
      const after = residentOf(child.pid);
      assert.ok(after < before * 1.1, `${before} kB → ${after} kB`);
    } finally {
      await child.end();
    }
  });
});
