/** What clients get, by their address and by what they ask for in OPT. Every thread that answers follows one policy. */
import type { AddressRange } from './addressRanges.ts';

/** It can be posted to a thread. */
export interface ClientPolicy {
  /** The clients that get replies; `undefined`: all. */
  readonly allowed: readonly AddressRange[] | undefined;
  /** The clients whose replies have RA set, and that get other servers' answers. */
  readonly recursionRanges: readonly AddressRange[];
  /** The NSID of this server (RFC 5001); `undefined`: clients that ask for it do not get one. */
  readonly nsid: string | undefined;
  /** The secrets of cookies (RFC 9018), 16 octets each: all verify, and the first one signs. None: no cookies. */
  readonly cookieSecrets: readonly Uint8Array[];
  /** The limit of replies over UDP; `undefined`: none. */
  readonly rateLimit: RateLimit | undefined;
}

export interface RateLimit {
  /** Replies a second to one network about one name. */
  readonly perSecond: number;
  /** Every n-th reply over the limit, on average, is a header with TC instead; 0: none. */
  readonly slip: number;
  readonly ipv4Bits: number;
  readonly ipv6Bits: number;
  /** Clients without a limit. */
  readonly exempt: readonly AddressRange[];
  /** The counts, which all threads share (`newRateMemory`). */
  readonly memory: SharedArrayBuffer;
}

/** A part of the server that follows the policy in force. */
export interface PolicyFollower {
  setPolicy(policy: ClientPolicy): void;
}

/** The policy before the first one is set: every client gets the answers of our zones, and nothing else. */
export const PLAIN_POLICY: ClientPolicy = {
  allowed: undefined,
  recursionRanges: [],
  nsid: undefined,
  cookieSecrets: [],
  rateLimit: undefined,
};
