/**
 * nsswitch.conf(5): whether multicast DNS keeps names under `.local` from DNS. It does so if its module stands before
 * `dns` with the action `[NOTFOUND=return]`. Pure.
 */
import type { Name } from '../../../dns/name.ts';
import { type Finding, findings, isUnderLocal, plainName } from './finding.ts';

/** The words of the `hosts:` line, with an action in brackets as one word; empty without the line. */
function hostsLine(text: string): readonly string[] {
  const line = /^[ \t]*hosts:(.*)$/m.exec(text)?.[1]?.replace(/#.*/, '') ?? '';
  return line.match(/\[[^\]]*\]|[^\s[\]]+/g) ?? [];
}

/** Whether glibc queries systemd-resolved, independent of resolv.conf. */
export function usesResolve(text: string): boolean {
  return hostsLine(text).includes('resolve');
}

const { ok, warning } = findings('mdns');

/** One finding for each domain that multicast DNS claims, or a single one if it claims none. */
export function judgeNsswitch(text: string, domains: readonly Name[]): readonly Finding[] {
  const local = domains.filter(isUnderLocal);
  if (local.length === 0) return [ok('no domain is under .local, which multicast DNS claims')];
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
      ? `keeps ${name} itself, and with an old nss-mdns all names below it, from DNS`
      : `keeps ${name} and all names below it from DNS`;
    const fix = `sudo sed -i '/^hosts:/s/ ${module} \\${action.replace(']', '\\]')}//' /etc/nsswitch.conf`;
    return warning(`${module} ${action} in nsswitch.conf ${reach}`, fix);
  });
}
