/**
 * The messages of etcd's watch (`etcdserverpb.WatchRequest` and `WatchResponse`) in protobuf. protobufjs and its
 * conversion of a message to plain objects cost several times as much for each change. Fields that the store does not
 * read are skipped.
 */

/** A key-value pair. The buffers are views of the message. */
export interface WatchedKv {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly createRevision: number;
  readonly modRevision: number;
  /** A decimal number, because it goes up to 2^63; `0` for none. */
  readonly lease: string;
}

export interface WatchEvent {
  /** `PUT`, `DELETE`, or a number that this version does not know. */
  readonly type: number;
  readonly kv: WatchedKv | undefined;
  readonly previous: WatchedKv | undefined;
}

export interface WatchMessage {
  /** Of the header; 0 without one. */
  readonly revision: number;
  readonly watchId: number;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compactRevision: number;
  readonly cancelReason: string;
  readonly fragment: boolean;
  readonly events: readonly WatchEvent[];
}

export const PUT = 0;
export const DELETE = 1;

/** Encodings of a field's value; groups do not occur in proto3. */
const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;

const tag = (field: number, wireType: number): number => field * 8 + wireType;

type Decoding<T> = { -readonly [K in keyof T]: T[K] };

/** The message; undefined if the octets are not one. Never throws. */
export function decodeWatchMessage(octets: Buffer): WatchMessage | undefined {
  const reader = new ProtoReader(octets);
  const events: WatchEvent[] = [];
  const message: Decoding<WatchMessage> = {
    revision: 0,
    watchId: 0,
    created: false,
    canceled: false,
    compactRevision: 0,
    cancelReason: '',
    fragment: false,
    events,
  };
  while (reader.hasMore()) {
    const at = reader.varint();
    if (at === tag(1, LENGTH)) message.revision = readRevision(reader);
    else if (at === tag(2, VARINT)) message.watchId = reader.varint();
    else if (at === tag(3, VARINT)) message.created = reader.varint() !== 0;
    else if (at === tag(4, VARINT)) message.canceled = reader.varint() !== 0;
    else if (at === tag(5, VARINT)) message.compactRevision = reader.varint();
    else if (at === tag(6, LENGTH)) message.cancelReason = reader.octets().toString('utf8');
    else if (at === tag(7, VARINT)) message.fragment = reader.varint() !== 0;
    else if (at === tag(11, LENGTH)) events.push(readEvent(reader));
    else reader.skip(at);
  }
  return reader.isMalformed ? undefined : message;
}

function readRevision(reader: ProtoReader): number {
  const outerEnd = reader.enter();
  let revision = 0;
  while (reader.hasMore()) {
    const at = reader.varint();
    if (at === tag(3, VARINT)) revision = reader.varint();
    else reader.skip(at);
  }
  reader.leave(outerEnd);
  return revision;
}

function readEvent(reader: ProtoReader): WatchEvent {
  const outerEnd = reader.enter();
  const event: Decoding<WatchEvent> = { type: PUT, kv: undefined, previous: undefined };
  while (reader.hasMore()) {
    const at = reader.varint();
    if (at === tag(1, VARINT)) event.type = reader.varint();
    else if (at === tag(2, LENGTH)) event.kv = readKv(reader);
    else if (at === tag(3, LENGTH)) event.previous = readKv(reader);
    else reader.skip(at);
  }
  reader.leave(outerEnd);
  return event;
}

const NOTHING: Buffer = Buffer.alloc(0);

function readKv(reader: ProtoReader): WatchedKv {
  const outerEnd = reader.enter();
  const kv: Decoding<WatchedKv> = {
    key: NOTHING,
    value: NOTHING,
    createRevision: 0,
    modRevision: 0,
    lease: '0',
  };
  while (reader.hasMore()) {
    const at = reader.varint();
    if (at === tag(1, LENGTH)) kv.key = reader.octets();
    else if (at === tag(2, VARINT)) kv.createRevision = reader.varint();
    else if (at === tag(3, VARINT)) kv.modRevision = reader.varint();
    else if (at === tag(5, LENGTH)) kv.value = reader.octets();
    else if (at === tag(6, VARINT)) kv.lease = reader.int64Text();
    else reader.skip(at);
  }
  reader.leave(outerEnd);
  return kv;
}

/** Reads protobuf's wire format. After the first fault it has no more octets, and `isMalformed` is true. */
class ProtoReader {
  isMalformed = false;
  readonly #octets: Buffer;
  #at = 0;
  /** The end of the message that is being read, which may lie within another. */
  #end: number;
  /** The halves of the last varint. */
  #low = 0;
  #high = 0;

  constructor(octets: Buffer) {
    this.#octets = octets;
    this.#end = octets.length;
  }

  hasMore(): boolean {
    return this.#at < this.#end;
  }

  /** An int64. Beyond 2^53 it is inexact. */
  varint(): number {
    const first = this.#octets[this.#at] as number;
    if (this.#at < this.#end && first < 0x80) {
      this.#at++;
      return first;
    }
    this.#readHalves();
    return (this.#high | 0) * 2 ** 32 + (this.#low >>> 0);
  }

  /** An int64 with all its digits. */
  int64Text(): string {
    this.#readHalves();
    const bits = (BigInt(this.#high >>> 0) << 32n) | BigInt(this.#low >>> 0);
    return BigInt.asIntN(64, bits).toString();
  }

  /** A view of a field's octets. */
  octets(): Buffer {
    const outerEnd = this.enter();
    const octets = this.#octets.subarray(this.#at, this.#end);
    this.#at = this.#end;
    this.leave(outerEnd);
    return octets;
  }

  /** Begins to read a field that is a message. Returns what `leave` needs. */
  enter(): number {
    const outerEnd = this.#end;
    const length = this.varint();
    if (length < 0 || length > outerEnd - this.#at) this.#fail();
    else this.#end = this.#at + length;
    return outerEnd;
  }

  leave(outerEnd: number): void {
    if (!this.isMalformed) this.#end = outerEnd;
  }

  /** Skips the value of a field with that tag. */
  skip(at: number): void {
    const wireType = at % 8;
    if (at < 8 || at >= 2 ** 32) this.#fail();
    else if (wireType === VARINT) this.varint();
    else if (wireType === FIXED64) this.#advance(8);
    else if (wireType === LENGTH) this.octets();
    else if (wireType === FIXED32) this.#advance(4);
    else this.#fail();
  }

  #advance(count: number): void {
    if (count > this.#end - this.#at) this.#fail();
    else this.#at += count;
  }

  #readHalves(): void {
    this.#low = 0;
    this.#high = 0;
    for (let shift = 0; shift < 70 && this.#at < this.#end; shift += 7) {
      const octet = this.#octets[this.#at++] as number;
      const bits = octet & 0x7f;
      if (shift < 28) this.#low |= bits << shift;
      else if (shift === 28) {
        this.#low |= bits << 28;
        this.#high = bits >> 4;
      } else this.#high |= bits << (shift - 32);
      if (octet < 0x80) return;
    }
    this.#fail();
  }

  #fail(): void {
    this.isMalformed = true;
    this.#low = 0;
    this.#high = 0;
    this.#at = 0;
    this.#end = 0;
  }
}

export interface CreateRequest {
  readonly key: Buffer;
  readonly rangeEnd: Buffer;
  readonly startRevision: number;
  /** Events have the key-value pair before the change. */
  readonly withPrevious: boolean;
}

/** A request that begins a watch; etcd also sends notices of its progress. */
export function encodeCreateRequest(request: CreateRequest): Buffer {
  const { key, rangeEnd, startRevision, withPrevious } = request;
  return lengthField(
    1,
    Buffer.concat([
      lengthField(1, key),
      lengthField(2, rangeEnd),
      Buffer.of(tag(3, VARINT), ...varintOctets(startRevision)),
      Buffer.of(tag(4, VARINT), 1),
      ...(withPrevious ? [Buffer.of(tag(6, VARINT), 1)] : []),
    ]),
  );
}

/** Requests a notice of progress for all watches of the stream. */
export const PROGRESS_REQUEST: Buffer = lengthField(3, NOTHING);

function lengthField(field: number, octets: Buffer): Buffer {
  return Buffer.concat([Buffer.of(tag(field, LENGTH), ...varintOctets(octets.length)), octets]);
}

/** Of a whole number from 0 to 2^53. */
function varintOctets(value: number): number[] {
  const octets: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) octets.push((rest % 0x80) | 0x80);
  return [...octets, rest];
}
