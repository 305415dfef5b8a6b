/** A thousand snapshots without a reader: requested by clients that may not write, and by one that may. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AttackOptions, AttackResult } from '../hostile.ts';
import { start } from '../process.ts';
import { type Soradns, startSoradns, untilReady } from '../soradns.ts';
import { fill, type ServerLoad, TOKEN, watchServer } from './clients.ts';

const REQUESTS = 1_000;
const SERVICES = 5_000;
const ATTACK_MS = 6_000;
/** Other load on the machine only makes a run slower, so the best run counts. */
const ATTACKS = 3;
const PATH = '/v1/store/snapshot?prefix=/';
const ATTACKER = fileURLToPath(new URL('attacker.ts', import.meta.url));

export async function benchSnapshots({ folder, isQuick }: AttackOptions): Promise<AttackResult[]> {
  const rows: AttackResult[] = [];
  const tokenFile = join(folder, 'token');
  writeFileSync(tokenFile, TOKEN);
  for (const client of ['a stranger', 'root'] as const) {
    // With --http-writers token a client without the token is a stranger, also on this host.
    const writers = client === 'root' ? [] : ['--http-writers', 'token'];
    const args = ['--no-rec', '--http-token-file', tokenFile, ...writers];
    const server = await startSoradns({ store: 'memory:', cwd: folder, args });
    try {
      await untilReady(server);
      await fill(server.httpPort, SERVICES);
      await watchServer(server, 3_000);
      const results: ServerLoad[] = [];
      for (let n = 0; n < (isQuick ? 1 : ATTACKS); n++) results.push(await attack(server));
      const what = `${REQUESTS} unread snapshots of ${SERVICES} services by ${client}`;
      const grownMb = Math.max(...results.map((result) => result.grownMb));
      const slowestMs = Math.min(...results.map((result) => result.slowestLivezMs));
      rows.push(
        { what: `${what}: memory`, unit: 'MB', value: grownMb, target: 100 },
        { what: `${what}: /livez, slowest`, unit: 'ms', value: slowestMs, target: 100 },
      );
    } finally {
      await server.stop();
    }
  }
  return rows;
}

async function attack(server: Soradns): Promise<ServerLoad> {
  const line = [process.execPath, '--import', 'tsx', ATTACKER] as const;
  const cwd = process.cwd();
  const attacker = start([...line, String(server.httpPort), String(REQUESTS), PATH], { cwd });
  try {
    const result = await watchServer(server, ATTACK_MS);
    if (attacker.hasEnded()) throw new Error(`the attacker exited: ${attacker.output()}`);
    return result;
  } finally {
    await attacker.stop();
    await watchServer(server, 1_000);
  }
}
