/** BIND, Knot and NSD as secondaries of a zone on loopback, for one test. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SocketAddress } from '../../src/dns/address.ts';

/** A key of all tests. */
export const KEY_NAME = 'secondary.test';
export const KEY_SECRET = 'c2Vjb25kYXJpZXMtc2hhcmUtdGhpcy1zZWNyZXQtMDE=';
export const KEY_TEXT = `key "${KEY_NAME}" { algorithm hmac-sha256; secret "${KEY_SECRET}"; };`;

export const SECONDARIES = ['named', 'knotd', 'nsd'] as const;
export type SecondaryProgram = (typeof SECONDARIES)[number];

export interface Secondary {
  readonly program: SecondaryProgram;
  readonly address: SocketAddress;
  /** What it has logged. */
  log(): string;
  /** Ends the process at once. */
  kill(): Promise<void>;
  /** Starts it again, with the zone that it has kept. */
  restart(): void;
}

export interface SecondaryOptions {
  readonly port: number;
  readonly folder: string;
  /** Its keys and zones. */
  readonly config: string;
}

/** The programs that are not installed. */
export function missingSecondaries(): readonly string[] {
  return SECONDARIES.filter(
    (program) => spawnSync(program, [VERSION[program]]).error !== undefined,
  );
}

const VERSION: Readonly<Record<SecondaryProgram, string>> = {
  named: '-v',
  knotd: '-V',
  nsd: '-v',
};

/** Starts it; it may not listen yet. The caller kills it. */
export function startSecondary(program: SecondaryProgram, options: SecondaryOptions): Secondary {
  const folder = join(options.folder, program);
  mkdirSync(folder);
  const config = join(folder, 'config');
  writeFileSync(config, FRAMES[program]({ ...options, folder }));
  let log = '';
  let child: ChildProcess;
  const onExit = (): void => void child.kill('SIGKILL');
  const restart = (): void => {
    child = spawn(program, [...FLAGS[program], '-c', config], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        log += text;
      });
    }
  };
  restart();
  process.on('exit', onExit);
  return {
    program,
    address: { address: '127.0.0.1', port: options.port },
    log: () => log,
    restart,
    async kill() {
      process.off('exit', onExit);
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      // NSD's children end with their parent only if it may tell them.
      child.kill(program === 'nsd' ? 'SIGTERM' : 'SIGKILL');
      await exited;
    },
  };
}

const FLAGS: Readonly<Record<SecondaryProgram, readonly string[]>> = {
  named: ['-g'],
  knotd: [],
  nsd: ['-d'],
};

/** What a configuration needs besides the page's part: its own ports and folders, and nothing outside the test. */
const FRAMES: Readonly<Record<SecondaryProgram, (options: SecondaryOptions) => string>> = {
  named: ({ port, folder, config }) => `
    controls { };
    options {
      directory "${folder}";
      listen-on port ${port} { 127.0.0.1; };
      listen-on-v6 { none; };
      pid-file none;
      session-keyfile none;
      recursion no;
      empty-zones-enable no;
      dnssec-validation no;
      notify no;
    };
    ${config}`,
  knotd: ({ port, folder, config }) => `
server:
  listen: 127.0.0.1@${port}
  rundir: "${folder}"
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
log:
  - target: stderr
    any: info
database:
  storage: "${folder}"
  journal-db-max-size: 64M
  kasp-db-max-size: 64M
  timer-db-max-size: 64M
template:
  - id: default
    storage: "${folder}"
${config}`,
  nsd: ({ port, folder, config }) => `
server:
  ip-address: 127.0.0.1@${port}
  server-count: 1
  username: ""
  zonesdir: "${folder}"
  database: ""
  pidfile: "${folder}/pid"
  xfrdfile: "${folder}/xfrd.state"
  xfrdir: "${folder}"
  zonelistfile: "${folder}/zone.list"
  rrl-ratelimit: 0
  verbosity: 2
remote-control:
  control-enable: no
${config}`,
};
