/** Queries servers over DNS and HTTP for their state. Never rejects. */
import { fetchJson } from '../../app/process/fetchPage.ts';
import { DEFAULT_REGISTRARS, fetchReport } from '../../app/registrar/registrarReport.ts';
import { printSocketAddress, type SocketAddress } from '../../dns/address.ts';
import type { Name } from '../../dns/name.ts';
import { Type } from '../../dns/rr.ts';
import { queryDns } from './dnsClient.ts';
import type { RegistrarFacts } from './judge/registrar.ts';
import type { ReadinessFacts, SoaResult } from './judge/server.ts';

const TIMEOUT_MS = 2_000;

/** Queries the domain's SOA, which every server of the domain has. */
export async function querySoa(
  { address, port }: SocketAddress,
  name: Name,
  transport: 'udp' | 'tcp',
  timeoutMs: number = TIMEOUT_MS,
): Promise<SoaResult> {
  const startMs = performance.now();
  const asked = await queryDns({ name, type: Type.SOA, address, port, transport, timeoutMs });
  const ms = performance.now() - startMs;
  switch (asked.kind) {
    case 'reply': {
      const { rcode, authoritative: isAuthoritative, answer, extendedErrors } = asked.reply;
      const hasSoa = answer.some((rr) => rr.type === Type.SOA);
      return { kind: 'reply', rcode, isAuthoritative, hasSoa, extendedErrors, ms };
    }
    case 'noReply':
      return asked;
    case 'unsupported':
      return { kind: 'skipped' };
  }
}

/** Reads `/readyz` of the HTTP listener. */
export async function fetchReadiness(http: SocketAddress): Promise<ReadinessFacts> {
  const url = `http://${printSocketAddress(http)}`;
  const reply = await fetchJson(new URL('/readyz', url), TIMEOUT_MS);
  if (reply.kind === 'none') return { kind: 'silent', url, reason: reply.problem };
  const { reasons } = (reply.value ?? {}) as { reasons?: unknown };
  return Array.isArray(reasons)
    ? { kind: 'answered', url, reasons: reasons.map(String) }
    : { kind: 'silent', url, reason: 'another program answers there' };
}

/** The registrar in the server at `http`, or else one on its own. */
export async function fetchRegistrarFacts(
  http: SocketAddress | undefined,
  hasDocker: boolean,
): Promise<RegistrarFacts> {
  const own = http === undefined ? [] : [`http://${printSocketAddress(http)}`];
  const asked = [...own, ...DEFAULT_REGISTRARS.slice(1)];
  try {
    const { role, holder, readiness, counters, findings } = await fetchReport(asked);
    const left = counters.conflicts + counters.refusals;
    return {
      kind: 'running',
      role,
      holder,
      found: findings,
      reasons: readiness.reasons,
      published: counters.published,
      left,
    };
  } catch {
    return { kind: 'none', asked, hasDocker };
  }
}
