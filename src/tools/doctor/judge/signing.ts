/** Judges the keys of a signed domain: whether they sign, and whether this host's clock is that of their makers. Pure. */
import type { Name } from '../../../dns/name.ts';
import { type Finding, findings, plainName } from './finding.ts';

export interface SigningFacts {
  readonly domain: Name;
  /** Key tags, and the dates at which the keys were made. */
  readonly keys: readonly {
    readonly tag: number;
    readonly createdUnixSeconds: number | undefined;
  }[];
  /** The tags of those that sign now. */
  readonly signing: readonly number[];
}

/** Clocks of the hosts that share keys may differ by so much. */
const TOLERANCE_SECONDS = 300;
const DAY_SECONDS = 86_400;

const { ok, problem } = findings('dnssec');

export function judgeSigning({ domain, keys, signing }: SigningFacts, nowSeconds: number): Finding {
  const of = plainName(domain);
  const early = keys.find(({ createdUnixSeconds: at = 0 }) => at > nowSeconds + TOLERANCE_SECONDS);
  if (early !== undefined) {
    const seconds = (early.createdUnixSeconds ?? 0) - nowSeconds;
    const size = seconds < DAY_SECONDS ? `${seconds} s` : `${Math.floor(seconds / DAY_SECONDS)} d`;
    return problem(
      `this host's clock is at least ${size} behind: it has a time before key ${early.tag} of ${of} was made, so validators reject its signatures`,
      'sudo timedatectl set-ntp true',
    );
  }
  if (signing.length === 0)
    return problem(
      `no key of ${of} is active, so its answers are not signed`,
      `soradns dnssec status ${of} --keys FOLDER # the folder of --dnssec`,
    );
  return ok(`answers about ${of} are signed with key ${signing.join(' and ')}`);
}

/** A key that cannot be read or used. */
export function judgeBrokenKey(reason: string): Finding {
  return problem(`--dnssec: ${reason}`, 'soradns check # after the file is repaired');
}
