/** What the registrar asks of a service before it publishes it, for registrator's CHECK_HTTP, CHECK_HTTPS, CHECK_TCP. */
export type Check =
  | {
      readonly kind: 'http' | 'https';
      /** Printable ASCII, begins with a slash. */
      readonly path: string;
      readonly method: string;
      readonly intervalMs: number;
      readonly timeoutMs: number;
    }
  | { readonly kind: 'tcp'; readonly intervalMs: number; readonly timeoutMs: number };

/** A setting by its name without prefix, such as `check_http`; `undefined` when it is not set. */
export type ReadSetting = (key: string) => string | undefined;

export type ParsedCheck =
  | { readonly kind: 'none' }
  | { readonly kind: 'check'; readonly check: Check }
  /** Registrator knows it, the registrar does not run it. */
  | { readonly kind: 'unsupported'; readonly key: string; readonly reason: string }
  | { readonly kind: 'invalid'; readonly key: string; readonly reason: string };

/** In registrator's order: the first that is set counts. */
const CHECKS = ['http', 'https', 'cmd', 'script', 'ttl', 'tcp', 'grpc'] as const;

const METHODS = ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT'];
/** registrator's default for Consul, and Consul's own for the timeout. */
const DEFAULT_INTERVAL_MS = 10_000;
const DEFAULT_TIMEOUT_MS = 10_000;
const MIN_MS = 100;
const MAX_MS = 3_600_000;

export function parseCheck(setting: ReadSetting): ParsedCheck {
  const kind = CHECKS.find((name) => setting(`check_${name}`) !== undefined);
  if (kind === undefined) return { kind: 'none' };
  const key = `check_${kind}`;
  if (kind !== 'http' && kind !== 'https' && kind !== 'tcp') {
    const reason = 'is not run by this registrar; use a HEALTHCHECK, CHECK_HTTP or CHECK_TCP';
    return { kind: 'unsupported', key, reason };
  }
  const intervalMs = duration(setting('check_interval'), DEFAULT_INTERVAL_MS);
  if (intervalMs === undefined) return invalid('check_interval', EXPECTED_DURATION);
  const timeoutMs = duration(setting('check_timeout'), DEFAULT_TIMEOUT_MS);
  if (timeoutMs === undefined) return invalid('check_timeout', EXPECTED_DURATION);
  if (kind === 'tcp') return { kind: 'check', check: { kind, intervalMs, timeoutMs } };
  const path = setting(key) ?? '';
  if (!/^\/[!-~]{0,1023}$/.test(path)) return invalid(key, 'is no path such as /health');
  const method = setting(`${key}_method`) ?? 'GET';
  if (!METHODS.includes(method)) return invalid(`${key}_method`, `is none of ${METHODS.join(' ')}`);
  return { kind: 'check', check: { kind, path, method, intervalMs, timeoutMs } };
}

const EXPECTED_DURATION = 'is no duration from 100ms to 1h such as 10s';

function duration(text: string | undefined, fallbackMs: number): number | undefined {
  const ms = text === undefined ? fallbackMs : parseDurationMs(text);
  return ms !== undefined && ms >= MIN_MS && ms <= MAX_MS ? ms : undefined;
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A duration as Go writes it (`1m30s`, `1.5s`) in milliseconds. */
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
