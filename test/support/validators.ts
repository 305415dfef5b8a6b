/** Validating resolvers in front of a server: unbound and BIND, with the key of a zone as their only trust anchor. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SocketAddress } from '../../src/dns/address.ts';
import { freePort } from './freePort.ts';
import { query } from './server.ts';
import { until } from './until.ts';
import { question } from './zone.ts';

const SBIN = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };

/** Why a test is skipped: the first of the commands that this machine lacks. */
export function lacking(...commands: readonly string[]): string | false {
  const missing = commands.find(
    (command) => spawnSync('which', [command], { env: SBIN }).status !== 0,
  );
  return missing === undefined ? false : `optional: needs ${missing}`;
}

/** Makes keys with BIND's tool in a folder; each of `kinds` has its options. Returns the DNSKEY records of KSKs. */
export function makeKeys(
  folder: string,
  zone: string,
  kinds: readonly (readonly string[])[] = [['-f', 'KSK'], []],
  algorithm = 'ECDSAP256SHA256',
): void {
  mkdirSync(folder, { recursive: true });
  for (const options of kinds) {
    const args = ['-q', '-K', folder, '-a', algorithm, ...options, zone];
    const { status, stderr } = spawnSync('dnssec-keygen', args, { env: SBIN, encoding: 'utf8' });
    if (status !== 0) throw new Error(`dnssec-keygen ${args.join(' ')}: ${stderr}`);
  }
}

/** The DNSKEY records of the KSKs in a folder: zone, flags, protocol, algorithm, key. */
export function anchorsIn(folder: string): readonly (readonly string[])[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.key'))
    .flatMap((file) => {
      const text = readFileSync(join(folder, file), 'utf8');
      const found = /^(\S+) (?:\d+ )?IN DNSKEY (257) (3) (\d+) (.+)$/m.exec(text);
      return found === null ? [] : [found.slice(1)];
    });
}

export interface Validator {
  readonly name: string;
  readonly address: SocketAddress;
  stop(): Promise<void>;
}

export interface ValidatorOptions {
  readonly folder: string;
  /** The zones, of which all but the anchors' are below one of these. */
  readonly zones: readonly string[];
  readonly server: SocketAddress;
  /** Asked in turns with the server. */
  readonly others?: readonly SocketAddress[];
  readonly anchors: readonly (readonly string[])[];
  /** Further lines of unbound's section `server:`. */
  readonly lines?: readonly string[];
  /** In front of the program, such as faketime. */
  readonly prefix?: readonly string[];
}

export async function startUnbound(options: ValidatorOptions): Promise<Validator> {
  const { folder, zones, server, others = [], anchors, lines = [] } = options;
  const stubs = [server, ...others].map(({ address, port }) => `  stub-addr: ${address}@${port}\n`);
  const port = await freePort();
  const anchorFile = join(folder, 'unbound.anchor');
  writeFileSync(anchorFile, anchors.map((fields) => withDnskey(fields)).join('\n'));
  const conf = join(folder, 'unbound.conf');
  writeFileSync(
    conf,
    `server:
  interface: 127.0.0.1
  port: ${port}
  directory: "${folder}"
  pidfile: ""
  chroot: ""
  username: ""
  use-syslog: no
  logfile: "${join(folder, 'unbound.log')}"
  verbosity: 1
  val-log-level: 2
  num-threads: 1
  module-config: "validator iterator"
  do-not-query-localhost: no
  val-permissive-mode: no
  aggressive-nsec: yes
  harden-algo-downgrade: yes
  use-caps-for-id: yes
  trust-anchor-file: "${anchorFile}"
${lines.map((line) => `  ${line}\n`).join('')}${zones.map((zone) => `  local-zone: "${zone}" nodefault`).join('\n')}
remote-control:
  control-enable: no
${zones.map((zone) => `stub-zone:\n  name: "${zone}"\n${stubs.join('')}`).join('')}`,
  );
  return started('unbound', ['unbound', '-d', '-c', conf], port, options);
}

function withDnskey([zone, ...fields]: readonly string[]): string {
  return `${zone} IN DNSKEY ${fields.join(' ')}`;
}

/** BIND as a forwarder, which sends RD. */
export async function startNamed(options: ValidatorOptions): Promise<Validator> {
  const { folder, zones, server, anchors } = options;
  const port = await freePort();
  const conf = join(folder, 'named.conf');
  const keys = anchors.map(
    ([zone, flags, protocol, algorithm, key]) =>
      `${zone} static-key ${flags} ${protocol} ${algorithm} "${key}";`,
  );
  writeFileSync(
    conf,
    `options {
  directory "${folder}";
  pid-file none;
  session-keyfile none;
  listen-on port ${port} { 127.0.0.1; };
  listen-on-v6 { none; };
  recursion yes;
  dnssec-validation yes;
  allow-query { any; };
  empty-zones-enable no;
};
controls { };
trust-anchors { ${keys.join(' ')} };
${zones
  .map(
    (zone) =>
      `zone "${zone}" { type forward; forward only; forwarders { ${server.address} port ${server.port}; }; };`,
  )
  .join('\n')}
`,
  );
  return started('named', ['named', '-g', '-c', conf, '-n', '1'], port, options);
}

async function started(
  name: string,
  command: readonly string[],
  port: number,
  { prefix = [], zones }: ValidatorOptions,
): Promise<Validator> {
  const [program = '', ...args] = [...prefix, ...command];
  const child: ChildProcess = spawn(program, args, {
    env: SBIN,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (octets) => {
      output = (output + octets).slice(-4_000);
    });
  const ended = new Promise<void>((resolve) => {
    child.on('exit', () => resolve());
    child.on('error', () => resolve());
  });
  const address = { address: '127.0.0.1', port };
  const answers = async (): Promise<boolean> => {
    if (child.exitCode !== null) throw new Error(`${name} has ended: ${output}`);
    // A closed port refuses a connection at once; over UDP the first question would wait for its time-out.
    return query(address, question(zones[0] ?? '.', 'SOA'), { transport: 'tcp' }).then(
      () => true,
      () => false,
    );
  };
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
  };
  try {
    await until(`${name} answers`, answers, 20_000);
  } catch (error) {
    await stop();
    throw error;
  }
  return { name, address, stop };
}
