/**
 * tools/doctor/judge/: What each fact that `doctor` collects means, and the line that mends it. Pure.
 * Imports: dns, forward.
 * Used by: cli/commands, tools/doctor.
 *
 * What `soradns doctor` says of one thing: how it is and, where it could be better, the line that makes it so. Pure.
 */
import type { SocketAddress } from '../../../dns/address.ts';
import { type Name, printName } from '../../../dns/name.ts';
import { isLoopback } from '../../../forward/addresses.ts';

export type Severity = 'ok' | 'warning' | 'problem';

export interface Finding {
  /** What was looked at: `port`, `server`, `docker` ... */
  readonly check: string;
  readonly level: Severity;
  /** One line, without a full stop. */
  readonly message: string;
  /** A line for a shell, to be copied as it stands; absent where nothing is to be done. */
  readonly fix?: string;
}

/** Makes the findings of one check. */
export function findings(check: string) {
  return {
    ok: (message: string): Finding => ({ check, level: 'ok', message }),
    /** It works, but not for all, or not as well as it could. */
    warning: (message: string, fix: string): Finding => ({ check, level: 'warning', message, fix }),
    /** Somebody does not get an answer. */
    problem: (message: string, fix: string): Finding => ({ check, level: 'problem', message, fix }),
  };
}

/** How many of the findings are of a level. */
export function countFindings(level: Severity, found: readonly Finding[]): number {
  return found.filter((finding) => finding.level === level).length;
}

/** Whether a container that asks this address finds the endpoint there. */
export function isReachedAt(endpoint: SocketAddress, address: string): boolean {
  const isWildcard = endpoint.address === '0.0.0.0' || endpoint.address === '::';
  return endpoint.address === address || (isWildcard && !isLoopback(address));
}

/** The domain as people write it in configuration, without the dot at its end. */
export function plainName(domain: Name): string {
  return printName(domain).replace(/(?<=.)\.$/, '');
}

/** Whether the domain is one that multicast DNS claims (RFC 6762 §3). */
export function isUnderLocal(domain: Name): boolean {
  return domain.at(-1)?.toLowerCase() === 'local';
}
