/** The examination: looks at everything that can keep a name from its answer, and has each looked-at thing judged. */
import type { EtcdLocation } from '../../config/storeLocation.ts';
import type { Config } from '../../config.ts';
import { DNS_PORT, type SocketAddress } from '../../dns/socketAddress.ts';
import { judgeClock } from '../../doctor/clock.ts';
import { judgeDocker, readDaemonJson } from '../../doctor/docker.ts';
import { judgeMember } from '../../doctor/etcd.ts';
import type { Finding } from '../../doctor/finding.ts';
import { judgeNsswitch, usesResolve } from '../../doctor/nsswitch.ts';
import { judgePort, type PortFacts } from '../../doctor/port.ts';
import { judgeRegistrar } from '../../doctor/registrar.ts';
import { asksResolved, judgeResolvConf, readResolvConf } from '../../doctor/resolvConf.ts';
import { judgeResolved } from '../../doctor/resolved.ts';
import { answersForUs, judgeReadiness, judgeServer } from '../../doctor/server.ts';
import { reachable } from '../../doctor/surroundings.ts';
import { findHeldPort } from '../../server/portHolder.ts';
import { keyPrefix } from '../../service/key.ts';
import { located } from '../whereabouts.ts';
import { askReadiness, askRegistrar, askSoa } from './asking.ts';
import type { Host } from './host.ts';
import { askMembers } from './members.ts';

/** All findings, in the order in which a query travels. Throws a `Failure` for files of the configuration. */
export async function examine(given: Config, host: Host): Promise<readonly Finding[]> {
  const { config } = await located(given, host);
  const parts = [
    examineServer(config, host),
    examineHttp(config),
    examineResolving(config, host),
    examineDocker(config, host),
    examineStore(config),
  ];
  return (await Promise.all(parts)).flat();
}

async function examineServer(config: Config, host: Host): Promise<readonly Finding[]> {
  const own = await host.addresses();
  const perEndpoint = config.addr.map(async (endpoint) => {
    const at = reachable(endpoint);
    const asked = await Promise.all(
      config.domains.map(async (domain) => ({
        endpoint: at,
        domain,
        udp: await askSoa(at, domain, 'udp'),
        tcp: await askSoa(at, domain, 'tcp'),
      })),
    );
    const { address, port } = endpoint;
    const facts: PortFacts = {
      endpoint,
      isOurs: own.has(address) || at.address !== address || address.startsWith('127.'),
      udp: await findHeldPort('udp', address, port),
      tcp: await findHeldPort('tcp', address, port),
      answersForUs: asked.some(({ udp }) => answersForUs(udp)),
    };
    return [judgePort(facts), ...asked.map(judgeServer)];
  });
  return (await Promise.all(perEndpoint)).flat();
}

async function examineHttp({ http }: Config): Promise<readonly Finding[]> {
  return http === undefined ? [] : judgeReadiness(await askReadiness(reachable(http)));
}

async function examineResolving(config: Config, host: Host): Promise<readonly Finding[]> {
  const { addr, domains } = config;
  const resolvConf = await host.read('/etc/resolv.conf');
  const nsswitch = (await host.read('/etc/nsswitch.conf')) ?? '';
  const isAsked = asksResolved(readResolvConf(resolvConf ?? '')) || usesResolve(nsswitch);
  const files = await resolvedFiles(host);
  const liveDomains = isAsked ? await host.run('resolvectl', 'domain') : undefined;
  return [
    ...judgeResolvConf(resolvConf, addr),
    ...judgeResolved({ isAsked, files, liveDomains }, addr, domains),
    ...judgeNsswitch(nsswitch, domains),
  ];
}

/** resolved.conf and then its drop-ins by name; of two of one name that in /etc counts (systemd's rule). */
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

async function examineDocker(config: Config, host: Host): Promise<readonly Finding[]> {
  const daemonJson = await host.read('/etc/docker/daemon.json');
  const bridgeAddress = await host.bridgeAddress();
  const hasSocket = (await host.list('/var/run')).includes('docker.sock');
  const isThere = daemonJson !== undefined || bridgeAddress !== undefined || hasSocket;
  const addresses = new Set([
    ...(bridgeAddress === undefined ? [] : [bridgeAddress]),
    ...(readDaemonJson(daemonJson)?.dns ?? []),
  ]);
  const answersAt = new Map(
    await Promise.all([...addresses].map((at) => answers({ address: at, port: DNS_PORT }, config))),
  );
  return [
    ...judgeDocker({ isThere, bridgeAddress, daemonJson, answersAt }, config.addr),
    ...judgeRegistrar(await askRegistrar(config.http && reachable(config.http), isThere)),
  ];
}

async function answers(at: SocketAddress, { domains }: Config): Promise<[string, boolean]> {
  const [domain = []] = domains;
  return [at.address, answersForUs(await askSoa(at, domain, 'udp'))];
}

async function examineStore({ store, pathPrefix }: Config): Promise<readonly Finding[]> {
  return store.kind === 'etcd' ? examineEtcd(store, keyPrefix(pathPrefix)) : [];
}

async function examineEtcd(location: EtcdLocation, prefix: string): Promise<readonly Finding[]> {
  const members = await askMembers(location, prefix);
  return members.flatMap(({ facts, clock }) => [
    judgeMember(facts, prefix),
    ...(clock === undefined ? [] : [judgeClock(clock)]),
  ]);
}
