/**
 * tools/integrate/: What the files of a host's resolver or Docker must say to use the server.
 * Imports: dns, forward.
 * Used by: cli/commands.
 *
 * The programs that can be told to ask the server, and what each is told.
 */
import { printSocketAddress, type SocketAddress } from '../../dns/address.ts';
import { type Name, printName } from '../../dns/name.ts';
import { planDaemonJson, planDaemonJsonUndo } from './daemonJson.ts';
import { type DropIn, planDropIn, planDropInUndo } from './dropIn.ts';
import type { IntegrationPlan, ReadHostFile } from './plan.ts';

export const TARGET_NAMES = ['systemd-resolved', 'networkmanager', 'dnsmasq', 'docker'] as const;

export type TargetName = (typeof TARGET_NAMES)[number];

/** Whom to ask, for which names. Never a wildcard address. */
export interface DnsRoute {
  readonly server: SocketAddress;
  readonly domains: readonly Name[];
}

export interface IntegrationTarget {
  /** Makes it ask the server. */
  plan(asking: DnsRoute, read: ReadHostFile): IntegrationPlan;
  /** Undoes that. */
  undo(asking: DnsRoute, read: ReadHostFile): IntegrationPlan;
  /** What makes it read its files again, as program and arguments. */
  readonly reload: readonly [string, ...string[]];
  /** What people should know before they run that. */
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
    caution: 'running containers are stopped by that, unless daemon.json has "live-restore": true',
  },
};

type FileOf = (asking: DnsRoute, read: ReadHostFile) => DropIn;

function ofDropIn(name: TargetName, file: FileOf): Pick<IntegrationTarget, 'plan' | 'undo'> {
  return {
    plan: (asking, read) => planDropIn(name, file(asking, read), read),
    undo: (asking, read) => planDropInUndo(file(asking, read), read),
  };
}

/** A `~` makes a domain one that is routed, not searched. */
function resolvedFile({ server, domains }: DnsRoute, read: ReadHostFile): DropIn {
  const routes = domains.map((domain) => `~${plain(domain)}`).join(' ');
  const isAsked =
    /^nameserver[ \t]+127\.0\.0\.5[34]/m.test(read('/etc/resolv.conf') ?? '') ||
    /^[ \t]*hosts:[^#\n]*[ \t]resolve\b/m.test(read('/etc/nsswitch.conf') ?? '');
  const link = 'sudo ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf';
  return {
    path: '/etc/systemd/resolved.conf.d/soradns.conf',
    lines: ['[Resolve]', `DNS=${printSocketAddress(server)}`, `Domains=${routes}`],
    notes: isAsked ? [] : [`nobody here asks systemd-resolved; make it so: ${link}`],
  };
}

const NM_CONF = '/etc/NetworkManager/NetworkManager.conf';
const NM_DNS = '/etc/NetworkManager/conf.d/dns.conf';

function networkManagerFile(asking: DnsRoute, read: ReadHostFile): DropIn {
  const runsDnsmasq = [NM_CONF, NM_DNS].some((path) =>
    /^[ \t]*dns[ \t]*=[ \t]*dnsmasq[ \t]*$/m.test(read(path) ?? ''),
  );
  const line = `printf '[main]\\ndns=dnsmasq\\n' | sudo tee ${NM_DNS}`;
  return {
    path: '/etc/NetworkManager/dnsmasq.d/soradns.conf',
    lines: dnsmasqLines(asking),
    notes: runsDnsmasq ? [] : [`NetworkManager has to run dnsmasq; if it does not yet: ${line}`],
  };
}

const DNSMASQ_CONF = '/etc/dnsmasq.conf';

function dnsmasqFile(asking: DnsRoute, read: ReadHostFile): DropIn {
  // Debian's start script gives the folder by itself.
  const isRead =
    read('/etc/default/dnsmasq') !== undefined ||
    /^conf-dir=\/etc\/dnsmasq\.d/m.test(read(DNSMASQ_CONF) ?? '');
  const line = `echo 'conf-dir=/etc/dnsmasq.d/,*.conf' | sudo tee -a ${DNSMASQ_CONF}`;
  return {
    path: '/etc/dnsmasq.d/soradns.conf',
    lines: dnsmasqLines(asking),
    notes: isRead ? [] : [`dnsmasq has to read /etc/dnsmasq.d; if it does not yet: ${line}`],
  };
}

/** Addresses of containers are private ones, which dnsmasq may be told to distrust. */
function dnsmasqLines({ server, domains }: DnsRoute): readonly string[] {
  return domains.flatMap((domain) => [
    `server=/${plain(domain)}/${server.address}#${server.port}`,
    `rebind-domain-ok=/${plain(domain)}/`,
  ]);
}

function plain(domain: Name): string {
  return printName(domain).replace(/\.$/, '');
}
