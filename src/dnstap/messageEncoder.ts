/**
 * dnstap's messages in protobuf (https://github.com/dnstap/dnstap.pb, dnstap.proto), each as a frame: its length and
 * its payload. The schema has 15 fields, all numbers and octets, so this file writes them itself. It allocates nothing
 * per message.
 */
import type { Transport } from '../dns/message.ts';

/** dnstap.Message.Type. */
export const MessageType = {
  AUTH_QUERY: 1,
  AUTH_RESPONSE: 2,
  CLIENT_QUERY: 5,
  CLIENT_RESPONSE: 6,
  FORWARDER_QUERY: 7,
  FORWARDER_RESPONSE: 8,
} as const;

/** dnstap.SocketProtocol. */
export const SOCKET_PROTOCOLS: Readonly<Record<Transport, number>> = {
  udp: 1,
  tcp: 2,
  dot: 3,
  doh: 4,
};

/** One query and its reply, without their octets. The writer of messages fills it anew for each. */
export class TappedExchange {
  family: 4 | 6 = 4;
  protocol = 0;
  /** The address that sent the query, in network order: 4 or 16 octets, as `family` says. */
  readonly queryAddress: Uint8Array = new Uint8Array(16);
  queryPort = 0;
  /** The address that received it. */
  readonly responseAddress: Uint8Array = new Uint8Array(16);
  hasResponseAddress = false;
  /** 0: unknown. */
  responsePort = 0;
  /** Milliseconds since 1970, with fractions. */
  queryMs = 0;
  responseMs = 0;
}

/** Field numbers, with the wire type in the lowest three bits: 0 varint, 2 length and octets, 5 four octets. */
const VARINT = 0;
const OCTETS = 2;
const FIXED32 = 5;
const field = (number: number, wireType: number): number => (number << 3) | wireType;

const Tag = {
  IDENTITY: field(1, OCTETS),
  VERSION: field(2, OCTETS),
  MESSAGE: field(14, OCTETS),
  TYPE: field(15, VARINT),
} as const;

const MessageTag = {
  TYPE: field(1, VARINT),
  SOCKET_FAMILY: field(2, VARINT),
  SOCKET_PROTOCOL: field(3, VARINT),
  QUERY_ADDRESS: field(4, OCTETS),
  RESPONSE_ADDRESS: field(5, OCTETS),
  QUERY_PORT: field(6, VARINT),
  RESPONSE_PORT: field(7, VARINT),
  QUERY_SECONDS: field(8, VARINT),
  QUERY_NANOSECONDS: field(9, FIXED32),
  QUERY_MESSAGE: field(10, OCTETS),
  RESPONSE_SECONDS: field(12, VARINT),
  RESPONSE_NANOSECONDS: field(13, FIXED32),
  RESPONSE_MESSAGE: field(14, OCTETS),
} as const;

/** dnstap.Dnstap.Type. */
const TYPE_MESSAGE = 1;

const LENGTH_OCTETS = 4;
/** More than the fields of a frame other than identity, version and DNS message. */
const MOST_FIELD_OCTETS = 128;

export class MessageEncoder {
  /** What `encode` writes about the exchange. */
  readonly exchange: TappedExchange = new TappedExchange();
  readonly #octets: Uint8Array;
  /** The fields that every message has. */
  readonly #head: Uint8Array;
  #typeAt = 0;

  /** `octets`: where the frames go. */
  constructor(octets: Uint8Array, identity: string | undefined, version: string) {
    this.#octets = octets;
    this.#head = Uint8Array.from([
      ...(identity === undefined ? [] : textField(Tag.IDENTITY, identity)),
      ...textField(Tag.VERSION, version),
      Tag.TYPE,
      TYPE_MESSAGE,
    ]);
  }

  /** The most octets of frames with DNS messages of so many octets together. */
  mostOctets(frames: number, messageOctets: number): number {
    return frames * (this.#head.length + MOST_FIELD_OCTETS) + messageOctets;
  }

  /**
   * Writes a frame at `at`, with the DNS message of `length` octets at `from[fromAt]`. Returns its end. `isResponse`: the
   * message is the reply, and `exchange.responseMs` is set.
   */
  encode(
    at: number,
    type: number,
    isResponse: boolean,
    from: Uint8Array,
    fromAt: number,
    length: number,
  ): number {
    const head = this.#head;
    const octets = this.#octets;
    const messageOctets = this.#messageOctets(isResponse, length);
    const payloadOctets = head.length + 1 + varintOctets(messageOctets) + messageOctets;
    octets[at] = payloadOctets >>> 24;
    octets[at + 1] = payloadOctets >>> 16;
    octets[at + 2] = payloadOctets >>> 8;
    octets[at + 3] = payloadOctets;
    let next = copied(octets, at + LENGTH_OCTETS, head, 0, head.length);
    octets[next++] = Tag.MESSAGE;
    next = this.#fields(writeVarint(octets, next, messageOctets), type, isResponse);
    octets[next++] = isResponse ? MessageTag.RESPONSE_MESSAGE : MessageTag.QUERY_MESSAGE;
    next = writeVarint(octets, next, length);
    return copied(octets, next, from, fromAt, length);
  }

  /** Changes the type of the frame that was written last. */
  retype(type: number): void {
    this.#octets[this.#typeAt] = type;
  }

  /** Writes everything but the DNS message; returns the end. */
  #fields(at: number, type: number, isResponse: boolean): number {
    const octets = this.#octets;
    const { family, protocol, queryPort, responsePort, queryMs, responseMs } = this.exchange;
    const { queryAddress, responseAddress, hasResponseAddress } = this.exchange;
    const addressOctets = family === 4 ? 4 : 16;
    this.#typeAt = at + 1;
    octets[at] = MessageTag.TYPE;
    octets[at + 1] = type;
    octets[at + 2] = MessageTag.SOCKET_FAMILY;
    octets[at + 3] = family === 4 ? 1 : 2;
    octets[at + 4] = MessageTag.SOCKET_PROTOCOL;
    octets[at + 5] = protocol;
    octets[at + 6] = MessageTag.QUERY_ADDRESS;
    octets[at + 7] = addressOctets;
    let next = copied(octets, at + 8, queryAddress, 0, addressOctets);
    if (hasResponseAddress) {
      octets[next] = MessageTag.RESPONSE_ADDRESS;
      octets[next + 1] = addressOctets;
      next = copied(octets, next + 2, responseAddress, 0, addressOctets);
    }
    octets[next++] = MessageTag.QUERY_PORT;
    next = writeVarint(octets, next, queryPort);
    if (responsePort !== 0) {
      octets[next++] = MessageTag.RESPONSE_PORT;
      next = writeVarint(octets, next, responsePort);
    }
    const { QUERY_SECONDS, QUERY_NANOSECONDS } = MessageTag;
    next = writeTime(octets, next, QUERY_SECONDS, QUERY_NANOSECONDS, queryMs);
    if (!isResponse) return next;
    const { RESPONSE_SECONDS, RESPONSE_NANOSECONDS } = MessageTag;
    return writeTime(octets, next, RESPONSE_SECONDS, RESPONSE_NANOSECONDS, responseMs);
  }

  /** The octets of the fields and the DNS message. */
  #messageOctets(isResponse: boolean, length: number): number {
    const { exchange } = this;
    const { queryPort, responsePort } = exchange;
    const addressOctets = exchange.family === 4 ? 6 : 18;
    return (
      6 +
      (exchange.hasResponseAddress ? 2 * addressOctets : addressOctets) +
      (1 + varintOctets(queryPort)) +
      (responsePort === 0 ? 0 : 1 + varintOctets(responsePort)) +
      timeOctets(exchange.queryMs) +
      (isResponse ? timeOctets(exchange.responseMs) : 0) +
      (1 + varintOctets(length) + length)
    );
  }
}

function writeTime(
  octets: Uint8Array,
  at: number,
  secondsTag: number,
  nanosecondsTag: number,
  ms: number,
): number {
  const seconds = Math.floor(ms / 1000);
  const nanoseconds = ((ms - seconds * 1000) * 1e6) | 0;
  octets[at] = secondsTag;
  const next = writeSeconds(octets, at + 1, seconds);
  octets[next] = nanosecondsTag;
  octets[next + 1] = nanoseconds;
  octets[next + 2] = nanoseconds >>> 8;
  octets[next + 3] = nanoseconds >>> 16;
  octets[next + 4] = nanoseconds >>> 24;
  return next + 5;
}

/** After 2106 seconds have more than 32 bits. */
function writeSeconds(octets: Uint8Array, at: number, seconds: number): number {
  if (seconds < 2 ** 32) return writeVarint(octets, at, seconds >>> 0);
  octets[at] = (seconds % 0x80) | 0x80;
  return writeSeconds(octets, at + 1, Math.floor(seconds / 0x80));
}

/** `value` has at most 32 bits, so that no operation leaves V8's integers. */
function writeVarint(octets: Uint8Array, at: number, value: number): number {
  let next = at;
  let rest = value;
  for (; rest >= 0x80; rest >>>= 7) octets[next++] = (rest & 0x7f) | 0x80;
  octets[next++] = rest;
  return next;
}

/** Returns the end of the copy. */
function copied(
  octets: Uint8Array,
  at: number,
  from: Uint8Array,
  fromAt: number,
  length: number,
): number {
  for (let i = 0; i < length; i++) octets[at + i] = from[fromAt + i] as number;
  return at + length;
}

function varintOctets(value: number): number {
  let octets = 1;
  for (let rest = value; rest >= 0x80; rest >>>= 7) octets++;
  return octets;
}

function timeOctets(ms: number): number {
  const seconds = Math.floor(ms / 1000);
  return 1 + (seconds < 2 ** 32 ? varintOctets(seconds >>> 0) : longVarintOctets(seconds)) + 5;
}

function longVarintOctets(value: number): number {
  return value < 2 ** 32 ? varintOctets(value) : 1 + longVarintOctets(Math.floor(value / 0x80));
}

/** At most 127 octets, so that the length is one octet. */
function textField(tag: number, text: string): number[] {
  const octets = Buffer.from(text, 'utf8').subarray(0, 127);
  return [tag, octets.length, ...octets];
}
