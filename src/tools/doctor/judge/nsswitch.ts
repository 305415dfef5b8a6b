/** nsswitch.conf(5): whether multicast DNS or systemd-resolved come before DNS, and keep names from it. Pure. */
import type { Name } from '../../../dns/name.ts';
import { type Finding, findings, isUnderLocal, plainName } from './finding.ts';

/** The words of the `hosts:` line, an action in brackets as one of them; none without the line. */
export function hostsLine(text: string): readonly string[] {
  const line = /^[ \t]*hosts:(.*)$/m.exec(text)?.[1]?.replace(/#.*/, '') ?? '';
  return line.match(/\[[^\]]*\]|[^\s[\]]+/g) ?? [];
}

/** Whether glibc asks systemd-resolved by itself, whatever resolv.conf says. */
export function usesResolve(text: string): boolean {
  return hostsLine(text).includes('resolve');
}

const { ok, warning } = findings('mdns');

/** One finding for each domain that multicast DNS claims; one in all if it claims none. */
export function judgeNsswitch(text: string, domains: readonly Name[]): readonly Finding[] {
  const local = domains.filter(isUnderLocal);
  if (local.length === 0)
    return [ok('no domain of ours is under .local, which multicast DNS claims')];
  const words = hostsLine(text);
  const at = words.findIndex((word) => /^mdns[46]?(_minimal)?$/.test(word));
  const dns = words.indexOf('dns');
  const module = words[at];
  const action = words[at + 1] ?? '';
  const isFinal = /^\[.*NOTFOUND=return.*\]$/i.test(action);
  if (module === undefined || !isFinal || (dns >= 0 && dns < at)) {
    return [ok('multicast DNS leaves names under .local to DNS')];
  }
  return local.map((domain) => {
    const name = plainName(domain);
    const reach = module.endsWith('_minimal')
      ? `keeps ${name} itself, and with an old nss-mdns all below it, from DNS`
      : `keeps ${name} and all below it from DNS`;
    const fix = `sudo sed -i '/^hosts:/s/ ${module} \\${action.replace(']', '\\]')}//' /etc/nsswitch.conf`;
    return warning(`${module} ${action} in nsswitch.conf ${reach}`, fix);
  });
}
