/**
 * tools/doctor/judge/: Judges the facts that `doctor` collects, each with the command that fixes it. Pure.
 * Imports: dns, dns/presentation, forward, observability.
 * Used by: cli, tools/doctor, tools/doctor/ambassador.
 *
 * A finding and the helpers that all judgements share.
 */
import type { SocketAddress } from '../../../dns/address.ts';
import { type Name, printName } from '../../../dns/name.ts';
import { isLoopback } from '../../../forward/addresses.ts';

export type Severity = 'ok' | 'warning' | 'problem';

export interface Finding {
  /** The area: `port`, `server`, `docker` ... */
  readonly check: string;
  readonly level: Severity;
  /** One line, without a full stop. */
  readonly message: string;
  /** A shell command, ready to copy; absent if there is nothing to fix. */
  readonly fix?: string;
}

/** Makes the findings of one check. */
export function findings(check: string) {
  return {
    ok: (message: string): Finding => ({ check, level: 'ok', message }),
    /** It works, but not for all clients, or not as well as possible. */
    warning: (message: string, fix: string): Finding => ({ check, level: 'warning', message, fix }),
    /** Some client gets no answer. */
    problem: (message: string, fix: string): Finding => ({ check, level: 'problem', message, fix }),
  };
}

/** How many of the findings are of a level. */
export function countFindings(level: Severity, found: readonly Finding[]): number {
  return found.filter((finding) => finding.level === level).length;
}

/** Whether a container that queries the address reaches the endpoint. */
export function isReachedAt(endpoint: SocketAddress, address: string): boolean {
  const isWildcard = endpoint.address === '0.0.0.0' || endpoint.address === '::';
  return endpoint.address === address || (isWildcard && !isLoopback(address));
}

/** The domain in the form of configuration files, without the final dot. */
export function plainName(domain: Name): string {
  return printName(domain).replace(/(?<=.)\.$/, '');
}

/** Whether multicast DNS claims the domain (RFC 6762 §3). */
export function isUnderLocal(domain: Name): boolean {
  return domain.at(-1)?.toLowerCase() === 'local';
}
