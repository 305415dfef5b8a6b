/**
 * Services for clients that do not ask DNS:
 *
 *     GET /v1/services/NAME/instances      a JSON array of the instances, the oldest first
 *     GET /v1/services/NAME/leader         the instance that leads, with the `rule` that chose it
 *
 * With `Accept: text/event-stream` both are streams of the events `up`, `update`, `down`, `leader` and `current`, which
 * ends the initial state. The stream of a leader has the last two.
 */
import { foldName, type Name, parseName, printName } from '../../../dns/name.ts';
import type { ServiceState } from '../../../service/instances.ts';
import { isWildcard } from '../../../zone/tree/select.ts';
import {
  type Exchange,
  type HttpReply,
  jsonReply,
  methodNotAllowed,
} from '../exchange/exchange.ts';
import type { SharedResources } from './keys.ts';
import { type ServiceAspect, sendEvents } from './serviceEvents.ts';

/** The zones' services. */
export interface ServiceSource {
  /** Whether the name is in a zone. */
  serves(name: Name): boolean;
  /** Whether the data are those of the last contact with the store. */
  isStale(): boolean;
  /** `undefined` until the store was read. */
  read(name: Name): ServiceState | undefined;
  /** Calls back with the state, and with each later one. */
  follow(name: Name, onState: (state: ServiceState) => void): { close(): void };
}

/** A reply up to this size needs no permit. */
const SHORT_CHARACTERS = 64 * 1024;

/** Answers a request below /v1/services. False: the path is not one of this API. */
export async function serveServices(
  source: ServiceSource,
  exchange: Exchange,
  shared: SharedResources,
  heartbeatMs: number,
): Promise<boolean> {
  const [, encoded, view] =
    /^\/v1\/services\/([^/]+)\/(instances|leader)$/.exec(exchange.path) ?? [];
  if (encoded === undefined) return false;
  if (exchange.method !== 'GET' && exchange.method !== 'HEAD') {
    exchange.send(methodNotAllowed(['GET', 'HEAD']));
    return true;
  }
  const name = nameIn(encoded);
  if (name === undefined)
    exchange.send(errorOf(400, 'invalid', 'not a domain name, or a wildcard'));
  else if (!source.serves(name))
    exchange.send(errorOf(404, 'not_found', `${printName(name)} is in none of the served domains`));
  else await serveView(source, name, view as ServiceAspect, exchange, shared, heartbeatMs);
  return true;
}

/** Wildcards would cost a walk through the tree at each change. */
function nameIn(encoded: string): Name | undefined {
  let text: string;
  try {
    text = decodeURIComponent(encoded);
  } catch {
    return undefined;
  }
  const name = parseName(text);
  if (name === undefined || name.length === 0) return undefined;
  const folded = foldName(name);
  return folded.some(isWildcard) ? undefined : folded;
}

async function serveView(
  source: ServiceSource,
  name: Name,
  view: ServiceAspect,
  exchange: Exchange,
  { waits, longReplies }: SharedResources,
  heartbeatMs: number,
): Promise<void> {
  const state = source.read(name);
  if (state === undefined)
    return exchange.send(errorOf(503, 'unavailable', 'the store has not been read yet'));
  const headers = warningsOn(state, source.isStale());
  if (wantsEvents(exchange)) {
    const release = await waits.acquire(exchange.caller);
    if (release === undefined)
      return exchange.send(errorOf(503, 'unavailable', 'too many requests are waiting'));
    const follow = (onState: (state: ServiceState) => void) => source.follow(name, onState);
    await sendEvents(exchange, { name, view, follow }, headers, heartbeatMs).finally(release);
    return;
  }
  const reply = replyWith(state, name, view, headers);
  if (reply.body.length > SHORT_CHARACTERS) {
    const release = await longReplies.acquire(exchange);
    if (release === undefined)
      return exchange.send(errorOf(503, 'unavailable', 'too many long replies at once'));
    if (exchange.signal.aborted) return release();
    exchange.signal.addEventListener('abort', () => release(), { once: true });
  }
  exchange.send(reply);
}

function wantsEvents({ method, headers }: Exchange): boolean {
  return method === 'GET' && /(^|[\s,])text\/event-stream\b/i.test(headers.accept ?? '');
}

function replyWith(
  state: ServiceState,
  name: Name,
  view: ServiceAspect,
  headers: Readonly<Record<string, string>>,
): HttpReply {
  if (!state.exists) return errorOf(404, 'not_found', `${printName(name)} does not exist`);
  if (view === 'instances') return jsonReply(200, state.instances, headers);
  const { leader, rule } = state;
  if (leader === undefined)
    return errorOf(404, 'not_found', `${printName(name)} has no leader`, headers);
  return jsonReply(200, { ...leader, rule }, headers);
}

/** RFC 7234 §5.5. */
function warningsOn({ isWhole }: ServiceState, isStale: boolean): Record<string, string> {
  const warnings = [
    ...(isStale ? ['110 soradns "Response is Stale"'] : []),
    ...(isWhole ? [] : ['199 soradns "Only some of the instances"']),
  ];
  return warnings.length === 0 ? {} : { Warning: warnings.join(', ') };
}

function errorOf(
  status: number,
  code: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): HttpReply {
  return jsonReply(status, { error: { code, message } }, headers);
}
