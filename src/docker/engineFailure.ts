/** What went wrong with a call, in the three words that the registrar acts on. */
import { EngineError } from './engine.ts';
import { asObject } from './json.ts';

/** A proxy without its daemon, or a daemon that is starting. */
const GATEWAY_STATUSES = [502, 503, 504];

/** Names the call and the engine in the message; keeps the cause. */
export function engineFailure(engine: string, call: string, cause: unknown): EngineError {
  if (cause instanceof EngineError) return cause;
  const code = codeOf(cause);
  const because = cause instanceof Error ? cause.message.trim() : String(cause);
  return new EngineError(code, `${engine}: ${call}: ${because}${adviceOn(code, cause)}`, { cause });
}

/** The HTTP status that the daemon, or a proxy before it, answered with. */
export function statusOf(cause: unknown): number | undefined {
  const status = asObject(cause).statusCode;
  return typeof status === 'number' ? status : undefined;
}

function codeOf(cause: unknown): EngineError['code'] {
  const status = statusOf(cause);
  if (status === 401 || status === 403) return 'denied';
  if (status !== undefined) return GATEWAY_STATUSES.includes(status) ? 'unreachable' : 'failed';
  const errno = asObject(cause).code;
  return errno === 'EACCES' || errno === 'EPERM' ? 'denied' : 'unreachable';
}

function adviceOn(code: EngineError['code'], cause: unknown): string {
  if (code !== 'denied') return '';
  return statusOf(cause) === undefined
    ? ' (run as root or in the group that owns the socket)'
    : ' (the proxy before the engine must let it through)';
}
