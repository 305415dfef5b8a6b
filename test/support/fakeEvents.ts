/** The event streams of the fake Docker daemon, and their faults. */
import type { ServerResponse } from 'node:http';

export interface EventFaults {
  /** Sends events in pieces of this many octets. */
  eventPieceOctets?: number | undefined;
  /** Breaks each event stream off after this many octets. */
  cutEventsAfterOctets?: number | undefined;
  dropEvent?: ((action: string) => boolean) | undefined;
  duplicateEvents?: boolean | undefined;
  /** Ignores filters, as some proxies and engines do. */
  ignoreFilters?: boolean | undefined;
  /** Answers any request for filtered events, or a filtered list, with this status. */
  filtersStatus?: number | undefined;
}

interface Stream {
  readonly response: ServerResponse;
  readonly wants: (event: FakeEvent) => boolean;
  octets: number;
}

interface FakeEvent {
  readonly type: string;
  readonly action: string;
  readonly timeNano: bigint;
  readonly line: string;
}

/** The number of events that a daemon remembers for `since`. */
const REMEMBERED = 256;

export class FakeEvents {
  readonly #faults: EventFaults;
  readonly #streams = new Set<Stream>();
  #remembered: FakeEvent[] = [];
  #lastNano = 0n;

  constructor(faults: EventFaults) {
    this.#faults = faults;
  }

  get openStreams(): number {
    return this.#streams.size;
  }

  /** Sends an event to the open streams, and remembers it. */
  emit(type: string, action: string, id: string, attributes: Record<string, string>): void {
    if (this.#faults.dropEvent?.(action) === true) return;
    const timeNano = this.now();
    const ofContainer = type === 'container' && { status: action, id, from: attributes.image };
    const json = JSON.stringify({
      ...ofContainer,
      Type: type,
      Action: action,
      Actor: { ID: id, Attributes: attributes },
      scope: 'local',
      time: Number(timeNano / 1_000_000_000n),
    });
    const line = `${json.slice(0, -1)},"timeNano":${timeNano}}\n`;
    const event = { type, action, timeNano, line };
    this.#remembered = [...this.#remembered.slice(1 - REMEMBERED), event];
    for (const stream of this.#streams) this.#send(stream, event);
  }

  /** Answers `GET /events`. */
  open(query: URLSearchParams, response: ServerResponse): void {
    const filters: Record<string, string[]> = JSON.parse(query.get('filters') ?? '{}');
    const wants = ({ type, action }: FakeEvent): boolean =>
      this.#faults.ignoreFilters === true ||
      ((filters.type?.includes(type) ?? true) &&
        (filters.event?.some((event) => action.startsWith(event)) ?? true));
    const stream = { response, wants, octets: 0 };
    response.writeHead(200, { 'Content-Type': 'application/json' });
    response.flushHeaders();
    this.#streams.add(stream);
    response.on('close', () => this.#streams.delete(stream));
    const since = query.get('since');
    if (since === null) return;
    const from = nanoOf(since);
    for (const event of this.#remembered) if (event.timeNano >= from) this.#send(stream, event);
  }

  /** Breaks off the open streams. */
  cut(): void {
    for (const { response } of this.#streams) response.destroy();
  }

  /** Forgets the events, like a daemon that restarts. */
  forget(): void {
    this.#remembered = [];
  }

  /** The daemon's clock, in nanoseconds: later at each call. */
  now(): bigint {
    const now = BigInt(Date.now()) * 1_000_000n;
    this.#lastNano = now > this.#lastNano ? now : this.#lastNano + 1n;
    return this.#lastNano;
  }

  #send(stream: Stream, event: FakeEvent): void {
    if (!stream.wants(event)) return;
    const octets = Buffer.from(event.line);
    const times = this.#faults.duplicateEvents === true ? 2 : 1;
    for (let i = 0; i < times; i++) this.#write(stream, octets);
  }

  #write(stream: Stream, octets: Buffer): void {
    const { response } = stream;
    const { eventPieceOctets = octets.length, cutEventsAfterOctets = Infinity } = this.#faults;
    for (let at = 0; at < octets.length && !response.destroyed; at += eventPieceOctets) {
      const room = cutEventsAfterOctets - stream.octets;
      const piece = octets.subarray(at, Math.min(at + eventPieceOctets, octets.length, at + room));
      stream.octets += piece.length;
      const isLast = stream.octets >= cutEventsAfterOctets;
      response.write(piece, () => isLast && response.destroy());
      if (isLast) return;
    }
  }
}

function nanoOf(since: string): bigint {
  const [seconds = '0', fraction = ''] = since.split('.');
  return BigInt(seconds) * 1_000_000_000n + BigInt(fraction.padEnd(9, '0'));
}
