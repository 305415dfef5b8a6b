/** The programs whose idle memory is compared. Each starts with an empty store or with one name. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../test/support/freePort.ts';
import { benchNames, DOMAIN } from '../names.ts';
import { isInstalled, type Running, start } from '../process.ts';
import { untilLastAnswered } from '../queryClient.ts';
import { findRivalServers } from '../rivalServers.ts';
import { startSoradns, untilReady } from '../soradns.ts';

export interface IdleServer {
  readonly title: string;
  /** It is one of ours, or the empty process that ours are compared with. */
  readonly isNode: boolean;
  /** Starts it in an empty folder. Resolves when it serves. */
  start(folder: string): Promise<Running>;
}

const IDLE_NODE = fileURLToPath(new URL('./idleNode.mjs', import.meta.url));
const ONE_NAME = benchNames(1);

export function emptyNode(workers: number): IdleServer {
  return {
    title: `empty Node process, threads: ${workers}`,
    isNode: true,
    start: async (cwd) => start([process.execPath, IDLE_NODE, String(workers)], { cwd }),
  };
}

/** `serve` with as many workers, a store, and more options. */
export function ours(
  title: string,
  workers: number,
  storeIn: (folder: string) => string,
  more: readonly string[] = [],
): IdleServer {
  return {
    title,
    isNode: true,
    async start(cwd) {
      const args = ['--workers', String(workers), ...more];
      const server = await startSoradns({ store: storeIn(cwd), cwd, args });
      await untilReady(server);
      return server;
    },
  };
}

/** The other DNS servers that are installed. */
export function idlePeers(): readonly IdleServer[] {
  const authoritative = findRivalServers().map(({ title, start: startServer }) => ({
    title,
    isNode: false,
    async start(folder: string) {
      const port = await freePort();
      const running = await startServer(ONE_NAME, port, folder);
      await untilLastAnswered(port, ONE_NAME);
      return running;
    },
  }));
  return [...authoritative, ...peer('unbound', startUnbound), ...peer('coredns', startCoreDns)];
}

function peer(command: string, startServer: IdleServer['start']): readonly IdleServer[] {
  if (!isInstalled(command)) return [];
  const { stdout } = spawnSync(command, [command === 'unbound' ? '-V' : '-version'], {
    encoding: 'utf8',
  });
  const version = /(?:Version |CoreDNS-)([\d.]+)/.exec(stdout)?.[1] ?? '';
  return [{ title: `${command} ${version}`.trim(), isNode: false, start: startServer }];
}

async function startUnbound(folder: string): Promise<Running> {
  const port = await freePort();
  const [name] = ONE_NAME;
  const config = join(folder, 'unbound.conf');
  writeFileSync(
    config,
    `server:
    interface: 127.0.0.1@${port}
    directory: "${folder}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    do-daemonize: no
    local-zone: "${DOMAIN}." static
    local-data: "${name?.name}. A ${name?.address}"
remote-control:
    control-enable: no
`,
  );
  const running = start(['unbound', '-d', '-c', config], { cwd: folder });
  await untilLastAnswered(port, ONE_NAME);
  return running;
}

async function startCoreDns(folder: string): Promise<Running> {
  const port = await freePort();
  const [name] = ONE_NAME;
  const config = join(folder, 'Corefile');
  writeFileSync(
    config,
    `${DOMAIN}:${port} {
    bind 127.0.0.1
    hosts {
        ${name?.address} ${name?.name}
    }
    cache
}
`,
  );
  const running = start(['coredns', '-conf', config], { cwd: folder });
  await untilLastAnswered(port, ONE_NAME);
  return running;
}
