/**
 * tools/integrate/: The configuration of a host's resolvers and Docker that makes them use the server.
 * Imports: dns, forward.
 * Used by: cli/host, cli/linking.
 *
 * The programs that can use the server, with the files of each.
 */
import { printSocketAddress, type SocketAddress } from '../../dns/address.ts';
import { type Name, printName } from '../../dns/name.ts';
import { planDaemonJson, planDaemonJsonUndo } from './daemonJson.ts';
import { type DropIn, planDropIn, planDropInUndo } from './dropIn.ts';
import type { IntegrationPlan, ReadHostFile, TargetName } from './plan.ts';

/** The server to query for names of the domains; never a wildcard address. */
export interface DnsRoute {
  readonly server: SocketAddress;
  readonly domains: readonly Name[];
}

export interface IntegrationTarget {
  /** Makes the program use the server. */
  plan(route: DnsRoute, read: ReadHostFile): IntegrationPlan;
  /** Undoes `plan`. */
  undo(route: DnsRoute, read: ReadHostFile): IntegrationPlan;
  /** The command that makes it read its files again. */
  readonly reload: readonly [string, ...string[]];
  /** A warning about `reload`. */
  readonly caution?: string;
}

export const TARGETS: Readonly<Record<TargetName, IntegrationTarget>> = {
  'systemd-resolved': {
    ...ofDropIn('systemd-resolved', resolvedFile),
    reload: ['systemctl', 'restart', 'systemd-resolved'],
  },
  networkmanager: {
    ...ofDropIn('networkmanager', networkManagerFile),
    reload: ['nmcli', 'general', 'reload', 'dns-full'],
  },
  dnsmasq: {
    ...ofDropIn('dnsmasq', dnsmasqFile),
    reload: ['systemctl', 'restart', 'dnsmasq'],
  },
  docker: {
    plan: ({ server }, read) => planDaemonJson(server, read),
    undo: (_, read) => planDaemonJsonUndo(read),
    reload: ['systemctl', 'restart', 'docker'],
    caution: 'this stops running containers, unless daemon.json has "live-restore": true',
  },
};

type FileOf = (route: DnsRoute, read: ReadHostFile) => DropIn;

function ofDropIn(name: TargetName, file: FileOf): Pick<IntegrationTarget, 'plan' | 'undo'> {
  return {
    plan: (route, read) => planDropIn(name, file(route, read), read),
    undo: (route, read) => planDropInUndo(file(route, read), read),
  };
}

/** With `~` a domain is only routed, not searched. */
function resolvedFile({ server, domains }: DnsRoute, read: ReadHostFile): DropIn {
  const routes = domains.map((domain) => `~${plain(domain)}`).join(' ');
  const isAsked =
    /^nameserver[ \t]+127\.0\.0\.5[34]/m.test(read('/etc/resolv.conf') ?? '') ||
    /^[ \t]*hosts:[^#\n]*[ \t]resolve\b/m.test(read('/etc/nsswitch.conf') ?? '');
  const link = 'sudo ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf';
  return {
    path: '/etc/systemd/resolved.conf.d/soradns.conf',
    lines: ['[Resolve]', `DNS=${printSocketAddress(server)}`, `Domains=${routes}`],
    notes: isAsked ? [] : [`this host does not use systemd-resolved yet; change that: ${link}`],
  };
}

const NM_CONF = '/etc/NetworkManager/NetworkManager.conf';
const NM_DNS = '/etc/NetworkManager/conf.d/dns.conf';

function networkManagerFile(route: DnsRoute, read: ReadHostFile): DropIn {
  const runsDnsmasq = [NM_CONF, NM_DNS].some((path) =>
    /^[ \t]*dns[ \t]*=[ \t]*dnsmasq[ \t]*$/m.test(read(path) ?? ''),
  );
  const line = `printf '[main]\\ndns=dnsmasq\\n' | sudo tee ${NM_DNS}`;
  return {
    path: '/etc/NetworkManager/dnsmasq.d/soradns.conf',
    lines: dnsmasqLines(route),
    notes: runsDnsmasq ? [] : [`NetworkManager must run dnsmasq; if it does not yet: ${line}`],
  };
}

const DNSMASQ_CONF = '/etc/dnsmasq.conf';

function dnsmasqFile(route: DnsRoute, read: ReadHostFile): DropIn {
  // Debian's start script sets the folder.
  const isRead =
    read('/etc/default/dnsmasq') !== undefined ||
    /^conf-dir=\/etc\/dnsmasq\.d/m.test(read(DNSMASQ_CONF) ?? '');
  const line = `echo 'conf-dir=/etc/dnsmasq.d/,*.conf' | sudo tee -a ${DNSMASQ_CONF}`;
  return {
    path: '/etc/dnsmasq.d/soradns.conf',
    lines: dnsmasqLines(route),
    notes: isRead ? [] : [`dnsmasq must read /etc/dnsmasq.d; if it does not yet: ${line}`],
  };
}

/** Containers have private addresses, which dnsmasq drops from answers if it is configured so. */
function dnsmasqLines({ server, domains }: DnsRoute): readonly string[] {
  return domains.flatMap((domain) => [
    `server=/${plain(domain)}/${server.address}#${server.port}`,
    `rebind-domain-ok=/${plain(domain)}/`,
  ]);
}

function plain(domain: Name): string {
  return printName(domain).replace(/\.$/, '');
}
