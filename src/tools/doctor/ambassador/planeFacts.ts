/** Collects what this host tells about its network, each fact only where this process may read it. */
import { release } from 'node:os';
import { kernelObstacle } from '../../../app/ambassador/kernelHostPlane.ts';
import type { HostNetwork } from '../../../app/process/network.ts';
import type { AmbassadorSettings } from '../../../config/options/ambassadorOptions.ts';
import type { KnownNetworks } from '../../../kernel/knownNetworks.ts';
import { openNft } from '../../../kernel/libnftables.ts';
import type { EnginePlatform } from '../../../registrar/engine/engine.ts';
import { type DockerdFiles, type DockerdSettings, readDockerdSettings } from './dockerdSettings.ts';

/** A fact is undefined where this process cannot know it. */
export interface PlaneFacts {
  readonly examined: ExaminedProcess | undefined;
  /** This process runs in a container. */
  readonly isInContainer: boolean;
  /** The address of Docker's bridge that this process should have, and whether it has it. */
  readonly bridge: { readonly address: string; readonly isOwn: boolean } | undefined;
  readonly kernel: KernelFacts;
  readonly isForwarding4: boolean | undefined;
  readonly isForwarding6: boolean | undefined;
  /** Whether packets within a bridge pass the rules of IPv4; `absent`: br_netfilter is not loaded. */
  readonly bridgeRules: 'on' | 'off' | 'absent' | undefined;
  readonly conntrack: { readonly count: number; readonly max: number } | undefined;
  readonly networks: KnownNetworks;
  readonly engine: EnginePlatform | undefined;
  readonly dockerd: DockerdSettings | undefined;
  /** `noProgram`: the program iptables cannot read the rules. */
  readonly dockerUser: 'present' | 'noChain' | 'noProgram' | undefined;
}

/** The process whose rights count. */
export interface ExaminedProcess {
  /** For messages: `this process`, `the server (pid 7)`. */
  readonly label: string;
  readonly hasNetAdmin: boolean;
  /** docker-proxy holds its port, so it runs in a network of its own. */
  readonly isBehindProxy: boolean;
}

export interface KernelFacts {
  /** As `uname -r` prints it; undefined on other systems than Linux. */
  readonly release: string | undefined;
  /** What would write the tables. */
  readonly writer: TableWriter | undefined;
  /** The outcome of a trial that changes nothing; undefined without the right to try. */
  readonly trial:
    | { readonly kind: 'possible' }
    | { readonly kind: 'impossible'; readonly reason: string }
    | undefined;
}

export type TableWriter =
  | { readonly kind: 'found'; readonly by: 'libnftables' | 'nft' }
  | { readonly kind: 'missing'; readonly reason: string };

/**
 * The server whose rights and libraries count: this process (`self`), the process that holds its port, one that this
 * user may not see (`unseen`), or none.
 */
export type ExaminedServer = ServerHolder | 'self' | 'unseen' | 'none';

export interface ServerHolder {
  readonly pid: number;
  readonly command: string;
}

export interface PlaneHost extends HostNetwork, DockerdFiles {
  run(command: string, ...args: readonly string[]): Promise<string | undefined>;
  /** Default: those of this process. */
  readonly kernel?: KernelProbe;
}

/** Answers for this process. */
export interface KernelProbe {
  release(): string | undefined;
  writer(): TableWriter;
  /** Needs CAP_NET_ADMIN. */
  trial(settings: AmbassadorSettings): NonNullable<KernelFacts['trial']>;
}

const KERNEL: KernelProbe = {
  release: () => (process.platform === 'linux' ? release() : undefined),
  writer() {
    const opened = openNft();
    if (opened.kind === 'missing') return opened;
    opened.nft.close();
    return { kind: 'found', by: opened.nft.by };
  },
  trial(settings) {
    const reason = kernelObstacle(settings);
    return reason === undefined ? { kind: 'possible' } : { kind: 'impossible', reason };
  },
};

/** Never rejects. */
export async function collectPlaneFacts(
  host: PlaneHost,
  settings: AmbassadorSettings,
  server: ExaminedServer,
): Promise<PlaneFacts> {
  const own = await readProcess(host, 'self');
  const hasRights = own?.hasNetAdmin === true;
  // Another process may be in a container, with other libraries.
  const isHere = server === 'self' || server === 'none';
  const [examined, engine, dockerd, networks, bridge] = await Promise.all([
    server === 'self' ? own : typeof server === 'object' ? readProcess(host, server) : undefined,
    host.engineInfo(),
    readDockerdSettings(host, host.engineSocket),
    host.networks(),
    readBridge(host),
  ]);
  const probe = host.kernel ?? KERNEL;
  const isOfDocker = engine?.platform.kind === 'docker' || dockerd !== undefined;
  return {
    ...{ examined, networks, dockerd, bridge, engine: engine?.platform },
    isInContainer: await isInContainer(host),
    kernel: {
      release: probe.release(),
      writer: isHere ? probe.writer() : undefined,
      trial: isHere && hasRights ? probe.trial(settings) : undefined,
    },
    isForwarding4: await readSwitch(host, '/proc/sys/net/ipv4/ip_forward'),
    isForwarding6: await readSwitch(host, '/proc/sys/net/ipv6/conf/all/forwarding'),
    bridgeRules: await readBridgeRules(host),
    conntrack: await readConntrack(host),
    dockerUser: hasRights && isOfDocker ? await readDockerUser(host) : undefined,
  };
}

const CAP_NET_ADMIN = 12n;

async function readProcess(
  { read }: DockerdFiles,
  who: ServerHolder | 'self',
): Promise<ExaminedProcess | undefined> {
  const pid = who === 'self' ? who : who.pid;
  const [, mask] =
    /^CapEff:\s*([0-9a-f]{1,32})$/m.exec((await read(`/proc/${pid}/status`)) ?? '') ?? [];
  if (mask === undefined) return undefined;
  return {
    label: who === 'self' ? 'this process' : `the server (pid ${pid})`,
    hasNetAdmin: (BigInt(`0x${mask}`) >> CAP_NET_ADMIN) % 2n === 1n,
    isBehindProxy: who !== 'self' && who.command === 'docker-proxy',
  };
}

async function isInContainer({ read }: DockerdFiles): Promise<boolean> {
  const marks = await Promise.all(['/.dockerenv', '/run/.containerenv'].map(read));
  return marks.some((text) => text !== undefined);
}

async function readBridge(host: PlaneHost): Promise<PlaneFacts['bridge']> {
  const [address, own] = await Promise.all([host.bridgeAddress(), host.addresses()]);
  return address === undefined ? undefined : { address, isOwn: own.has(address) };
}

async function readNumber({ read }: DockerdFiles, path: string): Promise<number | undefined> {
  const text = (await read(path))?.trim() ?? '';
  return /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
}

async function readSwitch(files: DockerdFiles, path: string): Promise<boolean | undefined> {
  const number = await readNumber(files, path);
  return number === undefined ? undefined : number !== 0;
}

async function readBridgeRules(files: DockerdFiles): Promise<PlaneFacts['bridgeRules']> {
  const isOn = await readSwitch(files, '/proc/sys/net/bridge/bridge-nf-call-iptables');
  if (isOn !== undefined) return isOn ? 'on' : 'off';
  const isLinux = (await files.list('/proc/sys/net')).length > 0;
  return isLinux ? 'absent' : undefined;
}

async function readConntrack(files: DockerdFiles): Promise<PlaneFacts['conntrack']> {
  const folder = '/proc/sys/net/netfilter';
  const count = await readNumber(files, `${folder}/nf_conntrack_count`);
  const max = await readNumber(files, `${folder}/nf_conntrack_max`);
  return count === undefined || max === undefined || max === 0 ? undefined : { count, max };
}

/** With the program that writes the ambassador's rule into the chain. */
async function readDockerUser(host: PlaneHost): Promise<PlaneFacts['dockerUser']> {
  const rules = await host.run('iptables', '-w', '2', '-S');
  if (rules === undefined) return 'noProgram';
  return /^-N DOCKER-USER$/m.test(rules) ? 'present' : 'noChain';
}
