/** Other DNS servers for comparison: each is configured with the same names and started on one core. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BenchName, DOMAIN, SRV_PORT, TTL_SECONDS, zoneText } from './names.ts';
import { isInstalled, type Running, SERVER_CORE, start } from './process.ts';

export interface RivalServer {
  /** Title in the table, with the version. */
  readonly title: string;
  /** Starts the server for the names on a port of 127.0.0.1, with its own folder. May resolve before the server answers. */
  start(names: readonly BenchName[], port: number, folder: string): Promise<Running>;
}

/** Returns the servers that are installed on this machine. */
export function findRivalServers(): RivalServer[] {
  return [
    ...rival('knotd', ['--version'], /version ([\d.]+)/, 'Knot', startKnot),
    ...rival('nsd', ['-v'], /version ([\d.]+)/, 'NSD', startNsd),
    ...rival('dnsmasq', ['--version'], /version ([\d.]+)/, 'dnsmasq', startDnsmasq),
  ];
}

function rival(
  command: string,
  args: string[],
  version: RegExp,
  title: string,
  startServer: RivalServer['start'],
): RivalServer[] {
  if (!isInstalled(command)) return [];
  const { stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  const found = version.exec(`${stdout}${stderr}`)?.[1] ?? '';
  return [{ title: `${title} ${found}`.trim(), start: startServer }];
}

function startKnot(names: readonly BenchName[], port: number, folder: string): Promise<Running> {
  return startKnotZone({ domain: DOMAIN, text: zoneText(names) }, port, folder);
}

/** A zone, which `text` gives in the form of a zone file. */
export interface ZoneFile {
  readonly domain: string;
  readonly text: string;
}

/** More lines of Knot's configuration: sections, which end before that of the zone, and settings of the zone. */
export interface KnotLines {
  readonly sections: readonly string[];
  readonly settings: readonly string[];
}

/** Starts Knot with one worker for a zone. */
export async function startKnotZone(
  { domain, text }: ZoneFile,
  port: number,
  folder: string,
  { sections, settings }: KnotLines = { sections: [], settings: [] },
): Promise<Running> {
  const config = write(
    folder,
    'knot.conf',
    `server:
    rundir: "${folder}"
    listen: 127.0.0.1@${port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: "${folder}"
log:
  - target: stderr
    any: warning
${sections.join('\n')}
zone:
  - domain: ${domain}
    file: "${write(folder, 'zone', text)}"
    zonefile-sync: -1
    journal-content: none
${settings.map((setting) => `    ${setting}\n`).join('')}`,
  );
  return start(['knotd', '-c', config], { cwd: folder, core: SERVER_CORE });
}

function startNsd(names: readonly BenchName[], port: number, folder: string): Promise<Running> {
  return startNsdZone({ domain: DOMAIN, text: zoneText(names) }, port, folder);
}

/** Starts NSD with one process for a zone. */
export async function startNsdZone(
  { domain, text }: ZoneFile,
  port: number,
  folder: string,
): Promise<Running> {
  const config = write(
    folder,
    'nsd.conf',
    `server:
    ip-address: 127.0.0.1@${port}
    server-count: 1
    username: ""
    chroot: ""
    database: ""
    zonesdir: "${folder}"
    pidfile: "${folder}/nsd.pid"
    xfrdfile: "${folder}/xfrd.state"
    zonelistfile: "${folder}/zone.list"
    xfrdir: "${folder}"
    cookie-secret-file: ""
    rrl-ratelimit: 0
    rrl-whitelist-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: ${domain}
    zonefile: "${write(folder, 'zone', text)}"
`,
  );
  return start(['nsd', '-d', '-c', config], { cwd: folder, core: SERVER_CORE });
}

/** Starts BIND with one thread for a zone. */
export async function startBindZone(
  { domain, text }: ZoneFile,
  port: number,
  folder: string,
): Promise<Running> {
  const config = write(
    folder,
    'named.conf',
    `options {
  directory "${folder}";
  pid-file none;
  session-keyfile none;
  listen-on port ${port} { 127.0.0.1; };
  listen-on-v6 { none; };
  recursion no;
  dnssec-validation no;
  minimal-responses yes;
  check-names primary ignore;
};
controls { };
zone "${domain}" {
  type primary;
  file "${write(folder, 'zone', text)}";
};
`,
  );
  return start(['named', '-g', '-n', '1', '-c', config], { cwd: folder, core: SERVER_CORE });
}

async function startDnsmasq(
  names: readonly BenchName[],
  port: number,
  folder: string,
): Promise<Running> {
  const settings = [
    `port=${port}`,
    'listen-address=127.0.0.1',
    'bind-interfaces',
    'user=',
    'group=',
    'pid-file=',
    'no-resolv',
    'no-hosts',
    `local=/${DOMAIN}/`,
    `local-ttl=${TTL_SECONDS}`,
    'cache-size=10000',
    ...names.flatMap(({ name, address }) => [
      `host-record=${name},${address}`,
      `srv-host=${name},${name},${SRV_PORT},10,100`,
    ]),
  ];
  const config = write(folder, 'dnsmasq.conf', `${settings.join('\n')}\n`);
  return start(['dnsmasq', '-k', '-C', config], { cwd: folder, core: SERVER_CORE });
}

function write(folder: string, name: string, text: string): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}
