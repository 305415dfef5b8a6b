/** Knot as an authoritative server on loopback for one test. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Whether knotd is installed. */
export function hasKnot(): boolean {
  return spawnSync('knotd', ['--version']).status === 0;
}

export interface Knot {
  readonly port: number;
  /** Ends the process at once. */
  kill(): Promise<void>;
}

export interface KnotOptions {
  readonly port: number;
  readonly folder: string;
  /** The lines of each zone's file, by the zone's name. The SOA and the NS record are added. */
  readonly zones: Readonly<Record<string, readonly string[]>>;
}

/** Starts it; it may not listen yet. The caller ends it. */
export function startKnot({ port, folder, zones }: KnotOptions): Knot {
  const path = join(folder, `knot-${port}.conf`);
  const blocks = Object.entries(zones).map(([zone, records]) => {
    const file = join(folder, `${zone}zone`);
    const head = [
      `$ORIGIN ${zone}`,
      '$TTL 60',
      '@ SOA ns1 hostmaster 1 3600 600 86400 30',
      '@ NS ns1',
      'ns1 A 127.0.0.1',
    ];
    writeFileSync(file, `${[...head, ...records].join('\n')}\n`);
    return `  - domain: ${zone}\n    file: "${file}"`;
  });
  const server = [
    'server:',
    `  rundir: "${folder}"`,
    `  listen: 127.0.0.1@${port}`,
    'database:',
    `  storage: "${folder}"`,
    'zone:',
    ...blocks,
  ];
  writeFileSync(path, `${server.join('\n')}\n`);
  const child = spawn('knotd', ['-c', path], { stdio: 'ignore' });
  const exited = once(child, 'exit');
  const onExit = (): void => void child.kill('SIGKILL');
  process.on('exit', onExit);
  return {
    port,
    async kill() {
      child.kill('SIGKILL');
      await exited;
      process.off('exit', onExit);
    },
  };
}
