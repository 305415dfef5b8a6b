/** Reads registrator's checks: CHECK_HTTP, CHECK_HTTPS and CHECK_TCP with their interval and timeout. */
import type { Check } from '../describe/description.ts';

/** Returns the value of a setting by its name without prefix, such as `check_http`; `undefined` if unset. */
export type ReadCheckSetting = (key: string) => string | undefined;

/** A setting outside the bounds, with the bound that replaces it. */
export interface CheckNote {
  readonly key: string;
  readonly reason: string;
}

export type ParsedCheck =
  | { readonly kind: 'none' }
  | { readonly kind: 'check'; readonly check: Check; readonly notes: readonly CheckNote[] }
  /** A kind of check that registrator runs and this registrar does not. */
  | { readonly kind: 'unsupported'; readonly key: string; readonly reason: string }
  | { readonly kind: 'invalid'; readonly key: string; readonly reason: string };

/** In registrator's order: of several, the first counts. */
const CHECKS = ['http', 'https', 'cmd', 'script', 'ttl', 'tcp', 'grpc'] as const;

/** Every container may choose these, because they change nothing. */
export const SAFE_METHODS: readonly string[] = ['GET', 'HEAD'];
/** The operator may allow these. */
const OTHER_METHODS = ['OPTIONS', 'POST', 'PUT'] as const;
/** The interval is registrator's default for Consul, the timeout Consul's own. */
const DEFAULT_INTERVAL_MS = 10_000;
const DEFAULT_TIMEOUT_MS = 10_000;
const MIN_INTERVAL_MS = 1_000;
const MIN_TIMEOUT_MS = 100;
/** Limited, because an unanswered probe occupies one of the few open probes for this time. */
const MAX_TIMEOUT_MS = 30_000;
const MAX_MS = 3_600_000;

/** The operator's decisions about checks. */
export interface CheckPolicy {
  /** The HTTP methods that containers may choose. */
  readonly methods: readonly string[];
  /** The prefix of option names in messages: `register-` in a server. */
  readonly optionPrefix: string;
}

export function parseCheck(setting: ReadCheckSetting, policy: CheckPolicy): ParsedCheck {
  const kind = CHECKS.find((name) => setting(`check_${name}`) !== undefined);
  if (kind === undefined) return { kind: 'none' };
  const key = `check_${kind}`;
  if (kind !== 'http' && kind !== 'https' && kind !== 'tcp') {
    const reason = 'is not run by this registrar; use a HEALTHCHECK, CHECK_HTTP or CHECK_TCP';
    return { kind: 'unsupported', key, reason };
  }
  const askedIntervalMs = duration(setting('check_interval'), DEFAULT_INTERVAL_MS);
  if (askedIntervalMs === undefined) return invalid('check_interval', EXPECTED_DURATION);
  const askedTimeoutMs = duration(setting('check_timeout'), DEFAULT_TIMEOUT_MS);
  if (askedTimeoutMs === undefined) return invalid('check_timeout', EXPECTED_DURATION);
  const intervalMs = Math.max(askedIntervalMs, MIN_INTERVAL_MS);
  const timeoutMs = Math.min(Math.max(askedTimeoutMs, MIN_TIMEOUT_MS), MAX_TIMEOUT_MS);
  const notes = [
    ...noteOf('check_interval', askedIntervalMs, intervalMs, 'the service is checked every'),
    ...noteOf('check_timeout', askedTimeoutMs, timeoutMs, 'each check may take'),
  ];
  if (kind === 'tcp') return { kind: 'check', check: { kind, intervalMs, timeoutMs }, notes };
  const path = setting(key) ?? '';
  if (!/^\/[!-~]{0,1023}$/.test(path))
    return invalid(key, 'is not a path: write one such as /health');
  const method = setting(`${key}_method`) ?? 'GET';
  if (!policy.methods.includes(method))
    return invalid(`${key}_method`, whyNotMethod(method, policy));
  return { kind: 'check', check: { kind, path, method, intervalMs, timeoutMs }, notes };
}

const EXPECTED_DURATION = 'is not a duration up to 1h, such as 10s';

function duration(text: string | undefined, fallbackMs: number): number | undefined {
  const ms = text === undefined ? fallbackMs : parseDurationMs(text);
  return ms !== undefined && ms > 0 && ms <= MAX_MS ? ms : undefined;
}

function noteOf(key: string, askedMs: number, givenMs: number, what: string): CheckNote[] {
  if (askedMs === givenMs) return [];
  const bound = askedMs < givenMs ? 'below the minimum' : 'above the maximum';
  const given = givenMs < 1000 ? `${givenMs} ms` : `${givenMs / 1000} s`;
  return [{ key, reason: `is ${bound}: ${what} ${given}` }];
}

function whyNotMethod(method: string, { methods, optionPrefix }: CheckPolicy): string {
  const fix = OTHER_METHODS.some((other) => other === method)
    ? `allow it with --${optionPrefix}check-method ${method}`
    : 'choose one of these';
  return `is not one of ${methods.join(', ')}: ${fix}`;
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Reads a duration in Go's form (`1m30s`, `1.5s`) as milliseconds. */
export function parseDurationMs(text: string): number | undefined {
  if (!/^(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ms|s|m|h)){1,4}$/.test(text)) return undefined;
  let ms = 0;
  for (const [, amount, unit] of text.matchAll(/([0-9.]+)(ms|s|m|h)/g)) {
    ms += Number(amount) * (UNIT_MS[unit as string] as number);
  }
  return Math.round(ms);
}

function invalid(key: string, reason: string): ParsedCheck {
  return { kind: 'invalid', key, reason };
}
