/** Whether the kernel can carry connections for the process: the engine, the kernel, its tables, the rights. Pure. */
import type { AmbassadorSettings } from '../../../config/options/ambassadorOptions.ts';
import type { EnginePlatform } from '../../../registrar/engine/engine.ts';
import { type Finding, findings } from '../judge/finding.ts';
import type { PlaneFacts } from './planeFacts.ts';
import { ambassadorWords, type StartLine } from './startWords.ts';

/** The findings of a plane that needs nothing of the kernel. */
export function judgeProxyPlane(): readonly Finding[] {
  const message =
    'the proxy carries links; it needs no rights, and no virtual address works with it';
  return [findings('plane').ok(message)];
}

export function judgePlane(
  facts: PlaneFacts,
  settings: AmbassadorSettings,
  start: StartLine,
): readonly Finding[] {
  return [
    ...judgeEngine(facts.engine, settings, start),
    ...judgeNamespace(facts, settings),
    ...judgeCapability(facts, settings, start),
    ...judgeWriter(facts, settings),
    judgeKernel(facts, settings, start),
  ];
}

/** Without the kernel `--plane nft` fails, and `auto` falls back to the proxy. */
function lacking(check: string, { plane, vip }: AmbassadorSettings) {
  const { problem, warning } = findings(check);
  const proxy = `the proxy carries links${vip ? ', and virtual addresses are not answered' : ''}`;
  return (message: string, fix: string): Finding =>
    plane === 'nft'
      ? problem(`${message}; with --ambassador-plane nft the server does not start`, fix)
      : warning(`${message}; ${proxy}`, fix);
}

const PLATFORMS = {
  docker: 'Docker',
  rootless: 'rootless Docker',
  desktop: 'Docker Desktop',
  podman: 'Podman',
} as const satisfies Record<EnginePlatform['kind'], string>;

/** The oldest version with which virtual addresses are tested. */
const LEAST_PODMAN = 5;

function judgeEngine(
  engine: PlaneFacts['engine'],
  settings: AmbassadorSettings,
  start: StartLine,
): readonly Finding[] {
  if (engine === undefined) return [];
  const { ok, warning } = findings('engine');
  const name = [PLATFORMS[engine.kind], engine.version].filter(Boolean).join(' ');
  if (engine.kind === 'docker') return [ok(`the engine is ${name}`)];
  if (engine.kind === 'podman' && majorOf(engine.version) >= LEAST_PODMAN)
    return [ok(`the engine is ${name}, whose containers the kernel can reach if it runs as root`)];
  const message = `the engine is ${name}, with which only links through the proxy are supported`;
  return [warning(message, start({ ...settings, ambassador: true, vip: false, plane: 'proxy' }))];
}

function majorOf(version = ''): number {
  return Number.parseInt(version, 10) || 0;
}

function judgeNamespace(
  { bridge, examined, engine }: PlaneFacts,
  settings: AmbassadorSettings,
): readonly Finding[] {
  const lack = lacking('namespace', settings);
  const fix = runLine(settings);
  if (examined?.isBehindProxy === true) {
    const message = `${examined.label} is docker-proxy, so the server runs in a network of its own`;
    return [lack(message, fix)];
  }
  // Other platforms keep their bridge elsewhere, which the finding about the engine says.
  if (bridge === undefined || (engine !== undefined && engine.kind !== 'docker')) return [];
  const { address, isOwn } = bridge;
  if (isOwn)
    return [findings('namespace').ok(`the address of Docker's bridge, ${address}, is this host's`)];
  const message = `${address}, the address of Docker's bridge, is not in this network namespace`;
  return [lack(message, fix)];
}

function judgeCapability(
  { examined, isInContainer }: PlaneFacts,
  settings: AmbassadorSettings,
  start: StartLine,
): readonly Finding[] {
  if (examined === undefined || examined.isBehindProxy) return [];
  if (examined.hasNetAdmin) return [findings('capability').ok(`${examined.label} has NET_ADMIN`)];
  const asRoot = `sudo ${start(settings).replace(/^sudo /, '')}`;
  const fix = isInContainer ? runLine(settings) : asRoot;
  return [lacking('capability', settings)(`${examined.label} lacks NET_ADMIN`, fix)];
}

/** As the pages start the server, with what the kernel plane needs besides. */
function runLine(settings: AmbassadorSettings): string {
  const options = '--network host --cap-add NET_ADMIN --user 0:65532 -v /var/run:/var/run:ro';
  return ['docker run -d', options, 'soradns up', ...ambassadorWords(settings)].join(' ');
}

function judgeWriter(
  { kernel: { writer } }: PlaneFacts,
  settings: AmbassadorSettings,
): readonly Finding[] {
  if (writer === undefined) return [];
  const check = 'nftables';
  const fix = 'sudo apt-get install libnftables1';
  if (writer.kind === 'missing') return [lacking(check, settings)(writer.reason, fix)];
  const { ok, warning } = findings(check);
  if (writer.by === 'libnftables') return [ok('the library libnftables writes the routes')];
  return [
    warning('the program nft writes the routes, which takes 20 ms instead of 1 ms a change', fix),
  ];
}

/** The oldest Linux whose nf_tables is known to carry connections so. */
const LEAST_RELEASE = [5, 13] as const;
const LEAST = LEAST_RELEASE.join('.');

function judgeKernel(
  { kernel: { release, trial, writer } }: PlaneFacts,
  settings: AmbassadorSettings,
  start: StartLine,
): Finding {
  const lack = lacking('kernel', settings);
  const proxy = start({ ...settings, ambassador: true, vip: false, plane: 'proxy' });
  if (release === undefined) return lack('only Linux carries connections in the kernel', proxy);
  // Without a writer there is another finding.
  if (trial?.kind === 'impossible' && writer?.kind === 'found') {
    const { reason } = trial;
    const fix = /NET_ADMIN/.test(reason)
      ? "cat /proc/self/uid_map   # a user namespace has no rights in the host's network"
      : `sudo modprobe -a nf_tables nf_conntrack_netlink   # Linux ${LEAST} or newer has both`;
    return lack(`Linux ${release} does not let this process carry connections: ${reason}`, fix);
  }
  if (isOlder(release)) {
    const message = `Linux ${release} is older than ${LEAST}, the oldest on which virtual addresses are known to work`;
    return findings('kernel').warning(message, `${proxy}   # or a newer kernel`);
  }
  const tried = trial?.kind === 'possible' ? 'can carry' : 'is new enough to carry';
  return findings('kernel').ok(`Linux ${release} ${tried} connections`);
}

function isOlder(release: string): boolean {
  const [major = 0, minor = 0] = release.split('.').map((part) => Number.parseInt(part, 10));
  const [leastMajor, leastMinor] = LEAST_RELEASE;
  return major < leastMajor || (major === leastMajor && minor < leastMinor);
}
