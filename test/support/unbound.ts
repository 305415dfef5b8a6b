/** Unbound as a DNS server on loopback for one test. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Whether unbound is installed. */
export function hasUnbound(): boolean {
  return spawnSync('unbound', ['-V']).status === 0;
}

export interface Unbound {
  readonly port: number;
  /** Ends the process at once. */
  kill(): Promise<void>;
}

export interface UnboundOptions {
  readonly port: number;
  readonly folder: string;
  /** Lines of the section `server:`. */
  readonly server: readonly string[];
  /** Further sections. */
  readonly sections?: readonly string[];
}

/** Starts it; it may not listen yet. The caller ends it. */
export function startUnbound({ port, folder, server, sections = [] }: UnboundOptions): Unbound {
  const path = join(folder, `unbound-${port}.conf`);
  const fixed = [
    `interface: 127.0.0.1@${port}`,
    'num-threads: 1',
    'do-daemonize: no',
    'username: ""',
    'chroot: ""',
    `directory: "${folder}"`,
    'pidfile: ""',
    'use-syslog: no',
    'module-config: "iterator"',
    'do-not-query-localhost: no',
  ];
  const lines = [...fixed, ...server].map((line) => `  ${line}`);
  const control = ['remote-control:', '  control-enable: no'];
  writeFileSync(path, `${['server:', ...lines, ...control, ...sections].join('\n')}\n`);
  const child = spawn('unbound', ['-c', path], { stdio: 'ignore' });
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
