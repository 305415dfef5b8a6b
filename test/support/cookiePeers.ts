/** Servers of other makes with one small zone, which are given a cookie secret and a rate limit. */
import { execFileSync, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { SocketAddress } from '../../src/dns/address.ts';
import { dig } from './dig.ts';
import { freePort } from './freePort.ts';
import { newTempDir, removeDir } from './tempDir.ts';
import { until } from './until.ts';

export interface PeerSettings {
  /** 32 hexadecimal digits; absent: no cookies. */
  readonly cookieSecret?: string;
  /** Replies a second to one network, every second of the others cut; absent: no limit. */
  readonly repliesPerSecond?: number;
}

export type PeerName = 'named' | 'knotd' | 'nsd';

const DOMAIN = 'skydns.local';
const ZONE = `$ORIGIN ${DOMAIN}.
@ 60 IN SOA ns hostmaster 1 3600 600 86400 60
@ 60 IN NS ns
ns 60 IN A 10.0.0.53
web 60 IN A 10.0.0.1
other 60 IN A 10.0.0.2
`;

export function isInstalled(program: PeerName): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`]);
    return true;
  } catch {
    return false;
  }
}

/** Starts the server, waits until it answers, and ends it after the test. */
export async function startPeer(
  t: TestContext,
  name: PeerName,
  settings: PeerSettings,
): Promise<SocketAddress> {
  const folder = await newTempDir();
  const port = await freePort();
  const zone = join(folder, 'zone');
  await writeFile(zone, ZONE);
  const config = join(folder, 'config');
  await writeFile(config, CONFIGS[name]({ folder, port, zone, ...settings }));
  const args = { named: ['-g', '-c', config], knotd: ['-c', config], nsd: ['-d', '-c', config] };
  const child = spawn(name, args[name], { cwd: folder, stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('close', resolve));
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
    await removeDir(folder);
  });
  const at = { address: '127.0.0.1', port };
  await until(`${name} answers`, async () => {
    const reply = await dig(at, '+nocookie', '+tcp', `ns.${DOMAIN}`).catch(() => undefined);
    return reply?.status === 'NOERROR';
  });
  return at;
}

interface PeerPlace extends PeerSettings {
  readonly folder: string;
  readonly port: number;
  readonly zone: string;
}

const CONFIGS: Readonly<Record<PeerName, (place: PeerPlace) => string>> = {
  // With `require-server-cookie` named answers only a valid cookie over UDP.
  named: ({ folder, port, zone, cookieSecret }) => `options {
  directory "${folder}"; pid-file none; session-keyfile none;
  listen-on port ${port} { 127.0.0.1; }; listen-on-v6 { none; }; recursion no;
  ${cookieSecret === undefined ? '' : `require-server-cookie yes; cookie-algorithm siphash24; cookie-secret "${cookieSecret}";`}
};
controls { };
zone "${DOMAIN}" { type primary; file "${zone}"; };
`,
  knotd: ({ folder, port, zone, cookieSecret, repliesPerSecond }) => `server:
    rundir: "${folder}"
    listen: 127.0.0.1@${port}
database:
    storage: "${folder}"
mod-cookies:
  - id: default
    secret: 0x${cookieSecret ?? '00'.repeat(16)}
    badcookie-slip: 1
mod-rrl:
  - id: default
    rate-limit: ${repliesPerSecond ?? 1_000_000}
    slip: 2
template:
  - id: default
    global-module: [${cookieSecret === undefined ? 'mod-rrl/default' : 'mod-cookies/default'}]
zone:
  - domain: ${DOMAIN}
    file: "${zone}"
    zonefile-sync: -1
    journal-content: none
`,
  nsd: ({ folder, port, zone, cookieSecret, repliesPerSecond }) => `server:
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
    answer-cookie: ${cookieSecret === undefined ? 'no' : 'yes'}
    cookie-secret-file: ""
    ${cookieSecret === undefined ? '' : `cookie-secret: "${cookieSecret}"`}
    rrl-ratelimit: ${repliesPerSecond ?? 0}
    rrl-slip: 2
    rrl-whitelist-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: ${DOMAIN}
    zonefile: "${zone}"
`,
};
