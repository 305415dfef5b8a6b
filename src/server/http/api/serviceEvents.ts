/**
 * A stream of a service's events (text/event-stream). Each stream keeps the state that its client has, and sends the way
 * to the state of now when the client has read what came before. So a slow reader holds no queue, and gets several
 * changes as one.
 */
import { type Name, printName } from '../../../dns/name.ts';
import { eventsBetween, type ServiceState } from '../../../service/instances.ts';
import type { Exchange } from '../exchange/exchange.ts';

export type ServiceAspect = 'instances' | 'leader';

export interface EventSource {
  readonly name: Name;
  readonly view: ServiceAspect;
  /** Calls back with the state at once, and with each later one. */
  follow(onState: (state: ServiceState) => void): { close(): void };
}

const HEADERS = { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' };
/** How long a browser waits before it connects again. */
const RETRY = 'retry: 1000\n\n';
const SIGN_OF_LIFE = ':\n\n';

/** Ends when the client closes the connection or reads too slowly, or when the server stops. */
export async function sendEvents(
  exchange: Exchange,
  source: EventSource,
  headers: Readonly<Record<string, string>>,
  heartbeatMs: number,
): Promise<void> {
  const stream = exchange.stream({ ...HEADERS, ...headers });
  const states = new LatestState(exchange.signal);
  const following = source.follow((state) => states.set(state));
  const heart = setInterval(() => void stream.write(SIGN_OF_LIFE), heartbeatMs);
  try {
    let sent: ServiceState | undefined;
    let isOpen = await stream.write(RETRY);
    while (isOpen) {
      const state = await states.next();
      if (state === undefined) return;
      isOpen = await stream.write(textBetween(source, sent, state));
      sent = state;
    }
  } finally {
    clearInterval(heart);
    following.close();
    stream.end();
  }
}

/** The last state that was set and not taken yet. */
class LatestState {
  readonly #signal: AbortSignal;
  #state: ServiceState | undefined;
  #wake: () => void = () => {};

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#wake(), { once: true });
  }

  set(state: ServiceState): void {
    this.#state = state;
    this.#wake();
  }

  /** Waits for a state; undefined when the signal aborts. */
  async next(): Promise<ServiceState | undefined> {
    while (this.#state === undefined && !this.#signal.aborted)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    const state = this.#signal.aborted ? undefined : this.#state;
    this.#state = undefined;
    return state;
  }
}

interface KeptText {
  readonly before: ServiceState | undefined;
  readonly text: Buffer;
}

/** For each state and view the text that was made last. Clients that keep up share it, and so its memory. */
const kept: Readonly<Record<ServiceAspect, WeakMap<ServiceState, KeptText>>> = {
  instances: new WeakMap(),
  leader: new WeakMap(),
};

function textBetween(
  { name, view }: EventSource,
  before: ServiceState | undefined,
  after: ServiceState,
): Buffer {
  const known = kept[view].get(after);
  if (known !== undefined && known.before === before) return known.text;
  const text = Buffer.from(printEvents(name, view, before, after));
  kept[view].set(after, { before, text });
  return text;
}

function printEvents(
  name: Name,
  view: ServiceAspect,
  before: ServiceState | undefined,
  after: ServiceState,
): string {
  const service = printName(name);
  return eventsBetween(before, after)
    .filter(({ kind }) => view === 'instances' || kind === 'leader' || kind === 'current')
    .map((event) => `event: ${event.kind}\ndata: ${JSON.stringify({ service, ...event })}\n\n`)
    .join('');
}
