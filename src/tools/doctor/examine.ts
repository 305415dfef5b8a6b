/**
 * tools/doctor/: Collects the facts for `soradns doctor` and has each of them judged.
 * Imports: app/answering, app/process, app/registrar, config, dns, forward, registrar/reconcile, server/listening,
 *   service, sign, store, timing, tools/doctor/ambassador, tools/doctor/judge, zone.
 * Used by: cli/commands, cli/host, cli/linking.
 *
 * `examine` collects everything that can keep a name from resolving: ports, servers, resolvers, Docker, the store.
 */
import { byZone, readKeys } from '../../app/answering/keyFiles.ts';
import { readPair } from '../../app/process/pemFiles.ts';
import type { Config } from '../../config/config.ts';
import {
  DNS_PORT,
  printSocketAddress,
  reachableAddress,
  type SocketAddress,
} from '../../dns/address.ts';
import { isLoopback } from '../../forward/addresses.ts';
import { findHeldPort } from '../../server/listening/portHolder.ts';
import { keyPrefix } from '../../service/key.ts';
import { zoneKeysAt } from '../../sign/zoneKeys.ts';
import { collectAmbassador, examinedServer } from './ambassador/ambassadorFindings.ts';
import { ambassadorWords } from './ambassador/startWords.ts';
import { desiredServer } from './desiredServer.ts';
import { type Host, isSoradns, locateServer } from './host.ts';
import { judgeCertificate } from './judge/certificate.ts';
import { judgeClock } from './judge/clock.ts';
import { judgeDocker, readDaemonJson } from './judge/docker.ts';
import { judgeMember } from './judge/etcd.ts';
import type { Finding } from './judge/finding.ts';
import {
  type DelegatedFacts,
  type ForwardedFacts,
  judgeDelegated,
  judgeForwarded,
  judgeUnasked,
} from './judge/forwarded.ts';
import { judgeHidden } from './judge/hidden.ts';
import { judgeNsswitch, usesResolve } from './judge/nsswitch.ts';
import { judgePort, type PortFacts } from './judge/port.ts';
import { judgeRegistrar } from './judge/registrar.ts';
import { type DesiredServer, startLine } from './judge/remedy.ts';
import { judgeResolvConf, queriesResolved, readResolvConf } from './judge/resolvConf.ts';
import { judgeResolved } from './judge/resolved.ts';
import {
  answersForUs,
  judgeHttpHolder,
  judgeReadiness,
  judgeServer,
  type ServerFacts,
} from './judge/server.ts';
import { judgeBrokenKey, judgeSigning } from './judge/signing.ts';
import { queryMembers } from './members.ts';
import { readHidden } from './names.ts';
import { fetchReadiness, fetchRegistrarFacts, querySoa } from './serverState.ts';

/** Judges collected facts. It runs once all facts are known, because a fix depends on all of them. */
type Judge = (desired: DesiredServer) => readonly Finding[];

/** All findings, in the order of a query's path. Throws a `Failure` for unreadable files of the configuration. */
export async function examine(given: Config, host: Host): Promise<readonly Finding[]> {
  const { config } = await locateServer(given, host);
  const [server, http, resolving, docker, store, names, forwarded] = await Promise.all([
    collectServer(config, host),
    collectHttp(config),
    collectResolvers(host),
    collectDocker(config, host),
    collectStore(config),
    collectNames(config),
    collectForwarded(config, host),
  ]);
  const ambassador = await collectAmbassadorOf(config, host, server.ports);
  const desired = desiredServer(config, { ports: server.ports, ...docker.found });
  const judges = [server.judge, http(server.ports), resolving, docker.judge, store];
  judges.push(names, ambassador, collectCertificate(config), forwarded);
  judges.push(collectKeys(config));
  return judges.flatMap((judge) => judge(desired));
}

/** The certificate of --dot and --doh, as this process can read it. */
function collectCertificate({ serverCertFile: certFile, serverKeyFile: keyFile }: Config): Judge {
  if (certFile === undefined || keyFile === undefined) return () => [];
  const read = readPair({ certFile, keyFile });
  const state = read.kind === 'pair' ? { kind: 'usable' as const, ...read.pair } : read;
  return () => [judgeCertificate({ certFile, state }, Date.now() / 1000)];
}

/** The keys of --dnssec, as this process can read them. */
function collectKeys({ dnssec }: Config): Judge {
  const now = Math.floor(Date.now() / 1000);
  const { keys: stored, problems } = readKeys(dnssec);
  const facts = byZone(stored).map((ofZone) => {
    const keys = ofZone.map(({ key }) => key);
    return {
      domain: keys[0]?.zone ?? [],
      keys: keys.map(({ tag, dates }) => ({ tag, createdUnixSeconds: dates.Created })),
      signing: zoneKeysAt(keys, now).zoneSigning.map(({ tag }) => tag),
    };
  });
  return () => [...problems.map(judgeBrokenKey), ...facts.map((each) => judgeSigning(each, now))];
}

async function collectAmbassadorOf(
  { ambassador }: Config,
  host: Host,
  ports: readonly PortFacts[],
): Promise<Judge> {
  if (ambassador === undefined) return () => [];
  const judge = await collectAmbassador(host, ambassador, examinedServer(ports));
  return (desired) =>
    judge((settings) => startLine({ ...desired, ambassador: ambassadorWords(settings) }));
}

async function collectServer(config: Config, host: Host) {
  const own = await host.addresses();
  const endpoints = await Promise.all(
    config.addr.map((endpoint) => collectEndpoint(endpoint, config, own)),
  );
  const judge: Judge = (desired) =>
    endpoints.flatMap(({ facts, asked }) => {
      const port = judgePort(facts, desired);
      const obstacle = port.level === 'problem' ? port.fix : undefined;
      return [port, ...asked.map((one) => judgeServer(one, desired, obstacle))];
    });
  return { ports: endpoints.map(({ facts }) => facts), judge };
}

async function collectEndpoint(
  endpoint: SocketAddress,
  { domains, http, versionText }: Config,
  own: ReadonlySet<string>,
) {
  const at = reachableAddress(endpoint);
  const readyUrl = http && `http://${printSocketAddress(reachableAddress(http))}/readyz`;
  const asking = domains.map(async (domain): Promise<ServerFacts> => {
    const [udp, tcp] = await Promise.all([
      querySoa(at, domain, 'udp'),
      querySoa(at, domain, 'tcp'),
    ]);
    return { endpoint: at, domain, udp, tcp, readyUrl };
  });
  const identifying = isSoradns(at, versionText);
  const [isAnswering, asked] = await Promise.all([identifying, Promise.all(asking)]);
  const { address, port } = endpoint;
  const facts: PortFacts = {
    endpoint,
    isOwnAddress: own.has(address) || at.address !== address || address.startsWith('127.'),
    udp: await findHeldPort('udp', address, port),
    tcp: await findHeldPort('tcp', address, port),
    answersForUs: asked.some(({ udp }) => answersForUs(udp)),
    isSoradns: isAnswering,
  };
  return { facts, asked };
}

/** Asks each server of `--forward` for the SOA of its domain. Servers over TLS are not asked. */
async function collectForwarded({ forward, addr }: Config, host: Host): Promise<Judge> {
  const own = await host.addresses();
  const pairs = forward.flatMap(({ name, servers }) =>
    servers === 'local' ? [] : servers.map((server) => ({ domain: name, server })),
  );
  const asked = await Promise.all(
    pairs
      .filter(({ server }) => server.tlsName === undefined)
      .map(async ({ domain, server }): Promise<ForwardedFacts> => {
        const isHost = own.has(server.address) || isLoopback(server.address);
        const isThisServer = addr.some(({ address, port }) => {
          const isAll = isHost && (address === '0.0.0.0' || address === '::');
          return port === server.port && (isAll || address === server.address);
        });
        return { domain, server, isThisServer, soa: await querySoa(server, domain, 'udp') };
      }),
  );
  return () => asked.flatMap((facts) => judgeForwarded(facts) ?? []);
}

const MAX_DELEGATIONS = 16;
/** More than the server waits for name servers before it says that they do not answer. */
const DELEGATED_TIMEOUT_MS = 5_000;

/** What hides values; and whether the name servers of delegations answer, as our server finds them. */
async function collectNames(config: Config): Promise<Judge> {
  const hidden = await readHidden(config);
  const [first] = config.addr;
  const delegations = hidden.kind === 'read' ? hidden.delegations : [];
  if (first === undefined || delegations.length === 0) return () => judgeHidden(hidden);
  const server = reachableAddress(first);
  const asked = await Promise.all(
    delegations.slice(0, MAX_DELEGATIONS).map(async (domain): Promise<DelegatedFacts> => {
      return { domain, server, soa: await querySoa(server, domain, 'udp', DELEGATED_TIMEOUT_MS) };
    }),
  );
  return () => [
    ...judgeHidden(hidden),
    ...asked.flatMap((facts) => judgeDelegated(facts) ?? []),
    ...judgeUnasked(delegations.length - MAX_DELEGATIONS),
  ];
}

async function collectHttp({ http }: Config): Promise<(ports: readonly PortFacts[]) => Judge> {
  if (http === undefined) return () => () => [];
  const facts = await fetchReadiness(reachableAddress(http));
  const held = await findHeldPort('tcp', http.address, http.port);
  return (ports) => (desired) => [
    ...judgeReadiness(facts, desired),
    ...judgeHttpHolder(facts.url, held?.holder, ports),
  ];
}

async function collectResolvers(host: Host): Promise<Judge> {
  const resolvConf = await host.read('/etc/resolv.conf');
  const nsswitch = (await host.read('/etc/nsswitch.conf')) ?? '';
  const isQueried = queriesResolved(readResolvConf(resolvConf ?? '')) || usesResolve(nsswitch);
  const files = await resolvedFiles(host);
  const liveDomains = isQueried ? await host.run('resolvectl', 'domain') : undefined;
  return (desired) => [
    ...judgeResolvConf(resolvConf, isQueried, desired),
    ...judgeResolved({ isQueried, files, liveDomains }, desired),
    ...judgeNsswitch(nsswitch, desired.domains),
  ];
}

/** resolved.conf, then its drop-ins by name; of two drop-ins with one name, systemd reads that in /etc. */
async function resolvedFiles(host: Host): Promise<readonly string[]> {
  const paths = new Map<string, string>();
  for (const folder of ['/usr/lib', '/run', '/etc'].map((at) => `${at}/systemd/resolved.conf.d`)) {
    for (const name of await host.list(folder))
      if (name.endsWith('.conf')) paths.set(name, `${folder}/${name}`);
  }
  const dropIns = [...paths].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, path]) => path);
  const texts = ['/etc/systemd/resolved.conf', ...dropIns].map((path) => host.read(path));
  return (await Promise.all(texts)).map((text) => text ?? '');
}

async function collectDocker(config: Config, host: Host) {
  const daemonJson = await host.read('/etc/docker/daemon.json');
  const bridgeAddress = await host.bridgeAddress();
  const hasSocket = (await host.list('/var/run')).includes('docker.sock');
  const hasDocker = daemonJson !== undefined || bridgeAddress !== undefined || hasSocket;
  const bridge = bridgeAddress === undefined ? [] : [bridgeAddress];
  const addresses = new Set([...bridge, ...(readDaemonJson(daemonJson)?.dns ?? [])]);
  const [answersAt, held, registrar] = await Promise.all([
    Promise.all([...addresses].map((at) => answers({ address: at, port: DNS_PORT }, config))),
    bridgeAddress && findHeldPort('udp', bridgeAddress, DNS_PORT),
    fetchRegistrarFacts(config.http && reachableAddress(config.http), hasDocker),
  ]);
  const program = await enginePath(host);
  const facts = {
    hasEngine: hasDocker,
    program,
    bridgeAddress,
    daemonJson,
    answersAt: new Map(answersAt),
  };
  const judge: Judge = (desired) => [
    ...judgeDocker(facts, config.addr, desired),
    ...judgeRegistrar(registrar, desired),
  ];
  const isOurs = bridgeAddress !== undefined && facts.answersAt.get(bridgeAddress) === true;
  return { found: { hasDocker, bridgeAddress, isBridgeFree: isOurs || !held }, judge };
}

/** The program of the engine, in the folders that packages install it to. */
async function enginePath(host: Host): Promise<string | undefined> {
  const folders = ['/usr/bin', '/usr/sbin', '/usr/local/bin'];
  const listings = await Promise.all(folders.map((folder) => host.list(folder)));
  const at = listings.findIndex((names) => names.includes('dockerd'));
  return at < 0 ? undefined : `${folders[at]}/dockerd`;
}

async function answers(at: SocketAddress, { domains }: Config): Promise<[string, boolean]> {
  const [domain = []] = domains;
  return [at.address, answersForUs(await querySoa(at, domain, 'udp'))];
}

async function collectStore({ store, pathPrefix }: Config): Promise<Judge> {
  if (store.kind !== 'etcd') return () => [];
  const prefix = keyPrefix(pathPrefix);
  const members = await queryMembers(store, prefix);
  return (desired) =>
    members.flatMap(({ facts, clock }) => [
      judgeMember(facts, prefix, desired),
      ...(clock === undefined ? [] : [judgeClock(clock)]),
    ]);
}
