/** etcd: whether each member answers, and how fast. Pure. */
import { type Finding, findings } from './finding.ts';
import { type DesiredServer, startLine } from './remedy.ts';

export interface MemberFacts {
  /** `HOST:PORT`. */
  readonly address: string;
  readonly usesTls: boolean;
  /** For example `3.5.9`; undefined if etcd did not report it. */
  readonly version: string | undefined;
  readonly reading: MemberReads;
}

export type MemberReads =
  /** The time of each read of one key. Never empty. */
  | { readonly kind: 'read'; readonly samplesMs: readonly number[] }
  /** `isDenied`: the member refuses the certificate, the user or the role. */
  | { readonly kind: 'failed'; readonly message: string; readonly isDenied: boolean };

/** Clients see changes later by about this time; answers do not wait for etcd. */
const SLOW_MS = 100;
const VERY_SLOW_MS = 1_000;
const LEAST_VERSION = [3, 4] as const;

const { ok, problem, warning } = findings('etcd');

/** `prefix` is the prefix of soradns's keys. */
export function judgeMember(facts: MemberFacts, prefix: string, desired: DesiredServer): Finding {
  const { address, reading, version } = facts;
  if (reading.kind === 'failed')
    return problem(reading.message, fixForMember(facts, reading, prefix, desired));
  if (version !== undefined && isTooOld(version)) {
    const fix = `apt-cache policy etcd-server   # ${LEAST_VERSION.join('.')} or newer is needed`;
    return problem(
      `etcd ${address} is version ${version}, older than ${LEAST_VERSION.join('.')}`,
      fix,
    );
  }
  const sorted = [...reading.samplesMs].sort((a, b) => a - b);
  const middleMs = sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
  const maxMs = sorted.at(-1) ?? 0;
  const what = version === undefined ? 'etcd' : `etcd ${version}`;
  const times = `p50 ${middleMs.toFixed(1)} ms, max ${maxMs.toFixed(1)} ms of ${sorted.length} reads`;
  const message = `${what} at ${address} answers: ${times}`;
  if (middleMs < SLOW_MS && maxMs < VERY_SLOW_MS) return ok(message);
  const slow = `${message}; clients see changes that much later, but answers do not wait`;
  return warning(slow, `ETCDCTL_API=3 etcdctl --endpoints ${address} check perf`);
}

function isTooOld(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major < LEAST_VERSION[0] || (major === LEAST_VERSION[0] && minor < LEAST_VERSION[1]);
}

type Failed = Extract<MemberReads, { kind: 'failed' }>;

function fixForMember(
  { address, usesTls }: MemberFacts,
  { message, isDenied }: Failed,
  prefix: string,
  desired: DesiredServer,
): string {
  const show = `openssl s_client -connect ${address} </dev/null 2>/dev/null | openssl x509 -noout`;
  if (/expired|not yet valid/i.test(message)) return `${show} -dates   # renew it`;
  if (/is not for/.test(message))
    return `${show} -ext subjectAltName   # reach etcd by one of these`;
  if (/client certificate/i.test(message)) {
    return startLine(desired, ['--tls-pem CLIENT.pem', '--tls-key CLIENT-key.pem']);
  }
  if (/no CA/.test(message)) return `${show} -issuer   # give its CA with --ca-cert`;
  if (/permission denied/i.test(message)) {
    return `ETCDCTL_API=3 etcdctl --endpoints ${address} role grant-permission --prefix=true ROLE readwrite ${prefix}`;
  }
  if (isDenied) return startLine(desired, ['--username USER', '--password-file FILE']);
  const scheme = usesTls ? 'https' : 'http';
  return `curl -sS ${usesTls ? '-k ' : ''}${scheme}://${address}/health   # is it running and reachable?`;
}
