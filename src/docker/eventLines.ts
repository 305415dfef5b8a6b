/**
 * The octets of `GET /events` as events. Docker's chunks are not lines, and may end within a character. Whatever is not
 * an event of a container or network that matters here is passed over: filters are a proxy's to ignore.
 */
import type { EngineEvent } from './engine.ts';
import { asObject, type JsonObject, parseJson } from './json.ts';

/**
 * The events to ask for. `health_status` also stands for `health_status: healthy`. Podman's are `died`, for `die` in old
 * versions, and `exec_died`, which ends a HEALTHCHECK: its `health_status` has no verdict and may begin one.
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

/** No line of Docker's comes near: all labels of a container are in it, once. */
const MAX_LINE_LENGTH = 16 * 1024 * 1024;

/** Cuts a stream of UTF-8 octets into lines. */
export class LineSplitter {
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  readonly #maxLength: number;
  #pieces: string[] = [];
  #length = 0;

  constructor(maxLength = MAX_LINE_LENGTH) {
    this.#maxLength = maxLength;
  }

  /** Gives the lines that the octets completed, without their ends; `undefined` when a line grows beyond all bounds. */
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

/** Reads one line; `undefined` if it is no event that matters here. */
export function parseEvent(line: string): EngineEvent | undefined {
  const { Type: type, Action: action, Actor } = asObject(parseJson(line));
  if (type !== 'container' && type !== 'network') return undefined;
  if (typeof action !== 'string' || !matters(type, action)) return undefined;
  const actor = asObject(Actor);
  const attributes = asObject(actor.Attributes);
  const containerId = type === 'container' ? actor.ID : joinedContainer(actor.ID, attributes);
  const timeNano = exactTimeNano(line);
  if (typeof containerId !== 'string' || containerId === '' || timeNano === undefined) {
    return undefined;
  }
  return { type, action, containerId, signal: signalOf(action, attributes), timeNano };
}

/** Docker's event is about a network, whose type it tells, and names the container; Podman's is about the container. */
function joinedContainer(id: unknown, { container, type }: JsonObject): unknown {
  return container === undefined && type === undefined ? id : container;
}

function matters(type: 'container' | 'network', action: string): boolean {
  const colon = action.indexOf(':');
  const verb = colon === -1 ? action : action.slice(0, colon);
  return (ACTIONS[type] as readonly string[]).includes(verb);
}

/** A label named `signal` overwrites the attribute, so it may be any text. */
function signalOf(action: string, attributes: JsonObject): string | undefined {
  const signal = attributes.signal;
  return action === 'kill' && typeof signal === 'string' ? signal : undefined;
}

/**
 * JSON.parse would round it. All attributes are strings and quotes within strings are escaped, so that only the real
 * member matches.
 */
function exactTimeNano(line: string): string | undefined {
  return /"timeNano"\s*:\s*(\d+)/.exec(line)?.[1];
}
