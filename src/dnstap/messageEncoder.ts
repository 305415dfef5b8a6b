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
  #at = 0;
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
    const messageOctets = this.#messageOctets(isResponse, length);
    const payloadOctets = head.length + 1 + varintOctets(messageOctets) + messageOctets;
    const octets = this.#octets;
    octets[at] = payloadOctets >>> 24;
    octets[at + 1] = payloadOctets >>> 16;
    octets[at + 2] = payloadOctets >>> 8;
    octets[at + 3] = payloadOctets;
    this.#at = at + LENGTH_OCTETS;
    this.#copy(head, 0, head.length);
    this.#octet(Tag.MESSAGE);
    this.#varint(messageOctets);
    this.#message(type, isResponse, from, fromAt, length);
    return this.#at;
  }

  /** Changes the type of the frame that was written last. */
  retype(type: number): void {
    this.#octets[this.#typeAt] = type;
  }

  #message(
    type: number,
    isResponse: boolean,
    from: Uint8Array,
    fromAt: number,
    length: number,
  ): void {
    const { exchange } = this;
    const { family, queryPort, responsePort } = exchange;
    this.#octet(MessageTag.TYPE);
    this.#typeAt = this.#at;
    this.#octet(type);
    this.#octet(MessageTag.SOCKET_FAMILY);
    this.#octet(family === 4 ? 1 : 2);
    this.#octet(MessageTag.SOCKET_PROTOCOL);
    this.#octet(exchange.protocol);
    this.#address(MessageTag.QUERY_ADDRESS, exchange.queryAddress);
    if (exchange.hasResponseAddress)
      this.#address(MessageTag.RESPONSE_ADDRESS, exchange.responseAddress);
    this.#octet(MessageTag.QUERY_PORT);
    this.#varint(queryPort);
    if (responsePort !== 0) {
      this.#octet(MessageTag.RESPONSE_PORT);
      this.#varint(responsePort);
    }
    this.#time(MessageTag.QUERY_SECONDS, MessageTag.QUERY_NANOSECONDS, exchange.queryMs);
    if (isResponse)
      this.#time(MessageTag.RESPONSE_SECONDS, MessageTag.RESPONSE_NANOSECONDS, exchange.responseMs);
    this.#octet(isResponse ? MessageTag.RESPONSE_MESSAGE : MessageTag.QUERY_MESSAGE);
    this.#varint(length);
    this.#copy(from, fromAt, length);
  }

  /** The octets that `#message` writes. */
  #messageOctets(isResponse: boolean, length: number): number {
    const { exchange } = this;
    const { queryPort, responsePort, queryMs, responseMs } = exchange;
    const addressOctets = exchange.family === 4 ? 6 : 18;
    return (
      6 +
      (exchange.hasResponseAddress ? 2 * addressOctets : addressOctets) +
      (1 + varintOctets(queryPort)) +
      (responsePort === 0 ? 0 : 1 + varintOctets(responsePort)) +
      timeOctets(queryMs) +
      (isResponse ? timeOctets(responseMs) : 0) +
      (1 + varintOctets(length) + length)
    );
  }

  #address(tag: number, address: Uint8Array): void {
    const length = this.exchange.family === 4 ? 4 : 16;
    this.#octet(tag);
    this.#octet(length);
    this.#copy(address, 0, length);
  }

  #time(secondsTag: number, nanosecondsTag: number, ms: number): void {
    const seconds = Math.floor(ms / 1000);
    const nanoseconds = Math.floor((ms - seconds * 1000) * 1e6);
    this.#octet(secondsTag);
    this.#varint(seconds);
    this.#octet(nanosecondsTag);
    for (let shift = 0; shift < 32; shift += 8) this.#octet(nanoseconds >>> shift);
  }

  #octet(value: number): void {
    this.#octets[this.#at++] = value;
  }

  #varint(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.#octet((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.#octet(rest);
  }

  #copy(from: Uint8Array, fromAt: number, length: number): void {
    const octets = this.#octets;
    const at = this.#at;
    for (let i = 0; i < length; i++) octets[at + i] = from[fromAt + i] as number;
    this.#at = at + length;
  }
}

function varintOctets(value: number): number {
  let octets = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) octets++;
  return octets;
}

function timeOctets(ms: number): number {
  return 1 + varintOctets(Math.floor(ms / 1000)) + 5;
}

/** At most 127 octets, so that the length is one octet. */
function textField(tag: number, text: string): number[] {
  const octets = Buffer.from(text, 'utf8').subarray(0, 127);
  return [tag, octets.length, ...octets];
}
