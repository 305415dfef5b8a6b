/**
 * Reads events from the octets of `GET /events`. A chunk is not a line and may end within a character. Events that the
 * registrar does not use are skipped here too, because a proxy may ignore the filters of the request.
 */
import { asContainerId } from './containerId.ts';
import type { EngineEvent } from './engine.ts';
import { asObject, type JsonObject, parseJson } from './json.ts';

/**
 * The events that the registrar uses. `health_status` includes `health_status: healthy`. Two are Podman's: `died` is
 * `die` in old versions, and `exec_died` ends a HEALTHCHECK. Podman's `health_status` has no verdict and may come when
 * a check begins.
 */
export const ACTIONS = {
  container: [
    'start',
    'die',
    'died',
    'kill',
    'pause',
    'unpause',
    'health_status',
    'exec_died',
    'rename',
    'destroy',
  ],
  network: ['connect', 'disconnect'],
} as const;

/** In characters. Docker's lines are far shorter: their largest part is the labels of one container. */
const MAX_LINE_LENGTH = 16 * 1024 * 1024;

/** Splits a stream of UTF-8 octets into lines. */
export class LineSplitter {
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  readonly #maxLength: number;
  #pieces: string[] = [];
  #length = 0;

  constructor(maxLength = MAX_LINE_LENGTH) {
    this.#maxLength = maxLength;
  }

  /** Returns the lines that the octets complete, without line ends; `undefined` when a line exceeds the limit. */
  push(octets: Uint8Array): readonly string[] | undefined {
    const text = this.#decoder.decode(octets, { stream: true });
    const [first = '', ...others] = text.split('\n');
    this.#pieces.push(first);
    this.#length += first.length;
    if (this.#length > this.#maxLength) return undefined;
    const rest = others.pop();
    if (rest === undefined) return [];
    const lines = [this.#pieces.join(''), ...others];
    this.#pieces = [rest];
    this.#length = rest.length;
    return lines;
  }
}

/** Reads one line; `undefined` if it is not an event that the registrar uses. */
export function parseEvent(line: string): EngineEvent | undefined {
  const { Type: type, Action: action, Actor } = asObject(parseJson(line));
  if (type !== 'container' && type !== 'network') return undefined;
  if (typeof action !== 'string' || !isUsed(type, action)) return undefined;
  const actor = asObject(Actor);
  const attributes = asObject(actor.Attributes);
  const containerId =
    type === 'container' ? actor.ID : containerOfNetworkEvent(actor.ID, attributes);
  const timeNano = exactTimeNano(line);
  if (typeof containerId !== 'string' || containerId === '' || timeNano === undefined) {
    return undefined;
  }
  return {
    type,
    action,
    containerId: asContainerId(containerId),
    signal: signalOf(action, attributes),
    timeNano,
  };
}

/**
 * Docker's actor is the network, and attributes name the container and the network's type. Podman's is the container.
 */
function containerOfNetworkEvent(id: unknown, { container, type }: JsonObject): unknown {
  return container === undefined && type === undefined ? id : container;
}

function isUsed(type: 'container' | 'network', action: string): boolean {
  const colon = action.indexOf(':');
  const verb = colon === -1 ? action : action.slice(0, colon);
  return (ACTIONS[type] as readonly string[]).includes(verb);
}

/** May be any text, because a container's label named `signal` overwrites the attribute. */
function signalOf(action: string, attributes: JsonObject): string | undefined {
  const signal = attributes.signal;
  return action === 'kill' && typeof signal === 'string' ? signal : undefined;
}

/**
 * JSON.parse would round the number. All attributes are strings, and quotes within strings are escaped, so the pattern
 * matches only the member itself.
 */
function exactTimeNano(line: string): string | undefined {
  return /"timeNano"\s*:\s*(\d+)/.exec(line)?.[1];
}
