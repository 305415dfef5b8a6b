/** Whether this host's network leads connections to where the kernel translates them, and on to backends. Pure. */
import { freeRange, hasRouteTo, printNetwork, rangeClash } from '../../../ambassador/rangeClash.ts';
import { maskedNetwork, type Network } from '../../../ambassador/vipRange.ts';
import type { AmbassadorSettings } from '../../../config/options/ambassadorOptions.ts';
import { type Finding, findings } from '../judge/finding.ts';
import type { PlaneFacts } from './planeFacts.ts';
import type { StartLine } from './startWords.ts';

export function judgeNetwork(
  facts: PlaneFacts,
  settings: AmbassadorSettings,
  start: StartLine,
): readonly Finding[] {
  const ranges = settings.vip ? [settings.vipRange, settings.vipRange6] : [];
  const networks = ranges.flatMap((range) => (range === undefined ? [] : [maskedNetwork(range)]));
  return [
    ...judgeForwarding(facts, networks),
    ...networks.flatMap((range) => [
      judgeRange(range, facts, settings, start),
      judgeRoute(range, facts),
    ]),
    ...judgeConntrack(facts.conntrack),
  ];
}

/** Dockerd sets it for IPv4, unless it is told not to, or writes its rules with nftables. */
function judgeForwarding(
  { isForwarding4, isForwarding6 }: PlaneFacts,
  ranges: readonly Network[],
): readonly Finding[] {
  const { ok, problem } = findings('forwarding');
  const judged = (name: string, isOn: boolean | undefined, advice = ''): readonly Finding[] => {
    if (isOn === undefined) return [];
    if (isOn) return [ok(`${name} is 1, so this host forwards the connections of containers`)];
    const message = `${name} is 0, so this host forwards no connection of a container`;
    return [problem(message, `sudo sysctl -w ${name}=1${advice}`)];
  };
  const advertised =
    '   # an interface that learns its route from a router needs accept_ra=2 first';
  return [
    ...judged('net.ipv4.ip_forward', isForwarding4),
    ...(ranges.some(isIpv6)
      ? judged('net.ipv6.conf.all.forwarding', isForwarding6, advertised)
      : []),
  ];
}

function isIpv6({ address }: Network): boolean {
  return address.includes(':');
}

function judgeRange(
  range: Network,
  { networks }: PlaneFacts,
  settings: AmbassadorSettings,
  start: StartLine,
): Finding {
  const { ok, problem } = findings('vip-range');
  const name = isIpv6(range) ? '--vip-range6' : '--vip-range';
  const text = printNetwork(range);
  const clash = rangeClash(range, networks);
  if (clash === undefined) return ok(`${name} ${text} overlaps no network of this host`);
  const message = `${name} ${text} overlaps ${clash}, whose addresses would be hidden`;
  const free = freeRange(range, networks);
  const field = isIpv6(range) ? 'vipRange6' : 'vipRange';
  const fix =
    free === undefined
      ? 'ip route show table all   # choose a range that is not there'
      : `${start({ ...settings, [field]: free })}   # this range on every host`;
  return problem(message, fix);
}

/** The kernel looks for a route before it translates what this host's own programs send. */
function judgeRoute(range: Network, { networks }: PlaneFacts): Finding {
  const { ok, warning } = findings('route');
  const text = printNetwork(range);
  if (hasRouteTo(range, networks)) return ok(`this host's own programs have a route to ${text}`);
  const message = `this host's own programs have no route to ${text}; containers need none`;
  // A route of IPv6 to `lo` refuses all packets.
  const fix = isIpv6(range)
    ? 'sudo ip -6 route add default via ROUTER   # any default route is enough'
    : `sudo ip route replace ${text} dev lo`;
  return warning(message, fix);
}

const FULL_PERCENT = 80;

function judgeConntrack(conntrack: PlaneFacts['conntrack']): readonly Finding[] {
  if (conntrack === undefined) return [];
  const { count, max } = conntrack;
  const { ok, warning } = findings('conntrack');
  const percent = Math.floor((count / max) * 100);
  const message = `${count} of ${max} entries of connection tracking are in use (${percent} %)`;
  if (percent <= FULL_PERCENT) return [ok(message)];
  const fix = `sudo sysctl -w net.netfilter.nf_conntrack_max=${2 * max}`;
  return [warning(`${message}; the kernel drops new connections when none is free`, fix)];
}
