/** The servers that answer outside names from their caches: soradns and the peers that are installed. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../test/support/freePort.ts';
import type { Lab, Server } from '../dataplane/lab.ts';
import { isInstalled, SERVER_CORE, start } from '../process.ts';
import { openQueryClient } from '../queryClient.ts';
import { outsideName, type Upstream } from './outside.ts';

/** Answers that each server's cache must hold. */
const CACHE_ANSWERS = 200_000;
const TIMEOUT_MS = 20_000;

interface Recursor {
  readonly command: string;
  readonly title: string;
  readonly version: readonly string[];
  readonly config: (port: number, upstream: number, folder: string) => string;
  readonly run: (config: string) => readonly [string, ...string[]];
}

const RECURSORS: readonly Recursor[] = [
  {
    command: 'unbound',
    title: 'unbound',
    version: ['-V'],
    config: (port, upstream, folder) => `server:
  interface: 127.0.0.1
  port: ${port}
  num-threads: 1
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "${folder}"
  pidfile: ""
  use-syslog: no
  module-config: "iterator"
  do-not-query-localhost: no
  msg-cache-size: 128m
  rrset-cache-size: 256m
  minimal-responses: yes
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@${upstream}
`,
    run: (config) => ['unbound', '-c', config],
  },
  {
    command: 'dnsmasq',
    title: 'dnsmasq',
    version: ['--version'],
    config: (port, upstream) => `port=${port}
listen-address=127.0.0.1
bind-interfaces
user=
group=
pid-file=
no-resolv
no-hosts
server=127.0.0.1#${upstream}
cache-size=${CACHE_ANSWERS}
dns-forward-max=1000
`,
    run: (config) => ['dnsmasq', '-k', '-C', config],
  },
  {
    command: 'coredns',
    title: 'CoreDNS',
    version: ['-version'],
    config: (port, upstream) => `.:${port} {
  bind 127.0.0.1
  cache 86400 {
    success ${CACHE_ANSWERS}
  }
  forward . 127.0.0.1:${upstream}
}
`,
    run: (config) => ['coredns', '-conf', config],
  },
];

/** soradns first. */
export async function startRecursors(lab: Lab, upstream: Upstream): Promise<Server[]> {
  const servers: Server[] = [await startOurs(lab, upstream)];
  for (const recursor of RECURSORS) {
    if (!isInstalled(recursor.command)) continue;
    try {
      servers.push(await startPeer(lab, recursor, upstream));
    } catch (error) {
      console.error(`${recursor.title} is left out:`, error);
    }
  }
  return servers;
}

export async function startOurs(
  lab: Lab,
  upstream: Upstream,
  args: readonly string[] = [],
): Promise<Server> {
  const nameservers = ['--nameservers', `127.0.0.1:${upstream.port}`];
  const ours = await lab.startOurs({ recursion: true, args: [...nameservers, ...args] });
  await untilAnswered(ours.port);
  return { ...ours, title: 'soradns' };
}

async function startPeer(lab: Lab, recursor: Recursor, upstream: Upstream): Promise<Server> {
  const { command, title, version } = recursor;
  const folder = lab.newFolder(title);
  const port = await freePort();
  const config = join(folder, 'config');
  writeFileSync(config, recursor.config(port, upstream.port, folder));
  const running = start(recursor.run(config), { cwd: folder, core: SERVER_CORE });
  lab.atEnd(() => running.stop());
  await untilAnswered(port);
  const { stdout, stderr } = spawnSync(command, version, { encoding: 'utf8' });
  const number = /(\d+\.\d+(?:\.\d+)?)/.exec(`${stdout}${stderr}`)?.[1] ?? '';
  return { title: `${title} ${number}`.trim(), port, running };
}

async function untilAnswered(port: number): Promise<void> {
  const deadline = performance.now() + TIMEOUT_MS;
  const client = await openQueryClient(port);
  try {
    while (performance.now() < deadline) {
      const found = await client.addresses(outsideName(0));
      if (found !== undefined && found.length > 0) return;
      await new Promise((done) => setTimeout(done, 20));
    }
  } finally {
    client.close();
  }
  throw new Error(`no answer about ${outsideName(0)} within ${TIMEOUT_MS} ms`);
}
