/**
 * TSIG (RFC 8945): verifies signed queries, and signs the messages of the reply. The key is checked first, then the
 * signature, then the time (§5.2): a client without the key learns nothing about the clock.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { Cursor } from '../dns/cursor.ts';
import { foldName, type Name, nameKey, wireName } from '../dns/name.ts';
import { Class, TsigError, Type } from '../dns/rr.ts';
import { HEADER_OCTETS, MIN_RR_OCTETS } from '../dns/wire.ts';
import type { TsigAlgorithm, TsigKey, TsigKeys } from './tsigKeys.ts';

/** How far the clocks of client and server may differ (§10). */
const FUDGE_SECONDS = 300;

const HASHES: Readonly<Record<TsigAlgorithm, { readonly hash: string; readonly octets: number }>> =
  {
    'hmac-sha256': { hash: 'sha256', octets: 32 },
    'hmac-sha384': { hash: 'sha384', octets: 48 },
    'hmac-sha512': { hash: 'sha512', octets: 64 },
  };

export type VerifiedQuery =
  /** The query has no TSIG, or a malformed one. */
  | { readonly kind: 'unsigned' }
  /** `message` is the query without the signature. */
  | { readonly kind: 'signed'; readonly message: Uint8Array; readonly signer: TsigSigner }
  /** The signature has a length that none has: the reply is FORMERR, without TSIG (§5.2.2.1). */
  | { readonly kind: 'malformed'; readonly message: Uint8Array }
  /** `signer` signs the reply with the error, or adds the error without a signature (§5.3.2). */
  | { readonly kind: 'wrong'; readonly message: Uint8Array; readonly signer: TsigSigner };

/** The fields of a TSIG record (§4.2). */
interface TsigRecord {
  /** Where the record begins in the message. */
  readonly at: number;
  readonly keyName: Name;
  readonly algorithm: Name;
  readonly timeSeconds: number;
  readonly fudgeSeconds: number;
  readonly mac: Uint8Array;
  readonly originalId: number;
  readonly error: number;
  readonly other: Uint8Array;
}

/** `unixSeconds` is the time now. */
export function verifyTsig(packet: Uint8Array, keys: TsigKeys, unixSeconds: number): VerifiedQuery {
  const record = readTsig(packet);
  if (record === undefined) return { kind: 'unsigned' };
  const message = withoutTsig(packet, record);
  const key = keys.get(nameKey(record.keyName));
  const wrong = (error: number): VerifiedQuery => ({
    kind: 'wrong',
    message,
    signer: new TsigSigner({ record, key, error, unixSeconds }),
  });
  if (key === undefined || !isAlgorithm(record.algorithm, key)) return wrong(TsigError.BADKEY);
  const { mac } = record;
  const fullOctets = HASHES[key.algorithm].octets;
  if (mac.length > fullOctets || mac.length < Math.max(LEAST_MAC_OCTETS, fullOctets / 2))
    return { kind: 'malformed', message };
  message.writeUInt16BE(record.originalId, 0); // §4.3.2: the id that was signed
  const expected = macOf(key, [message, variablesOf(record)]);
  message.writeUInt16BE(readId(packet), 0);
  if (!timingSafeEqual(mac, expected.subarray(0, mac.length))) return wrong(TsigError.BADSIG);
  if (Math.abs(unixSeconds - record.timeSeconds) > Math.min(record.fudgeSeconds, FUDGE_SECONDS)) {
    return wrong(TsigError.BADTIME);
  }
  // §5.2.4: our policy takes whole signatures only.
  if (mac.length < fullOctets) return wrong(TsigError.BADTRUNC);
  const signer = new TsigSigner({ record, key, error: TsigError.NONE, unixSeconds });
  return { kind: 'signed', message, signer };
}

/** The first message to another server or client, with a signature; `verifier` checks the reply (§5.3, §5.4). */
export function signQuery(
  message: Uint8Array,
  key: TsigKey,
  unixSeconds: number,
): { readonly signed: Uint8Array; readonly verifier: TsigVerifier } {
  const record = newRecord(key, readId(message), unixSeconds);
  const mac = macOf(key, [message, variablesOf(record)]);
  return { signed: withTsig(message, { ...record, mac }), verifier: new TsigVerifier(key, mac) };
}

interface SignerFacts {
  readonly record: TsigRecord;
  /** `undefined`: unknown. */
  readonly key: TsigKey | undefined;
  readonly error: number;
  readonly unixSeconds: number;
}

/** Signs the messages of one reply, in their order. */
export class TsigSigner {
  /** The key's name; not verified if there is an error. */
  readonly keyName: Name;
  readonly #facts: SignerFacts;
  /** The signature that the next one continues: the query's, then that of the last message. */
  #priorMac: Uint8Array;
  #isFirst = true;

  constructor(facts: SignerFacts) {
    this.#facts = facts;
    this.keyName = facts.record.keyName;
    this.#priorMac = facts.record.mac;
  }

  /** How many octets `sign` adds. */
  get addedOctets(): number {
    const { record, key } = this.#facts;
    const mac = key === undefined ? 0 : HASHES[key.algorithm].octets;
    const names = wireName(record.keyName).length + wireName(record.algorithm).length;
    return names + MIN_RR_OCTETS - 1 + FIXED_OCTETS + mac + TIME_OCTETS;
  }

  /** The message with a TSIG record; `unixSeconds` is the time now. */
  sign(message: Uint8Array, unixSeconds: number): Uint8Array {
    const { record, key, error } = this.#facts;
    const isBadTime = error === TsigError.BADTIME;
    const reply: TsigRecord = {
      ...record,
      // §5.2.3: the client's time, and ours beside it.
      timeSeconds: isBadTime ? record.timeSeconds : unixSeconds,
      fudgeSeconds: FUDGE_SECONDS,
      mac: NO_OCTETS,
      originalId: readId(message),
      error,
      other: isBadTime ? timeOctets(unixSeconds) : NO_OCTETS,
    };
    if (key === undefined || error === TsigError.BADKEY || error === TsigError.BADSIG) {
      return withTsig(message, reply);
    }
    const variables = this.#isFirst ? variablesOf(reply) : timersOf(reply);
    const mac = macOf(key, [lengthOf(this.#priorMac), this.#priorMac, message, variables]);
    this.#priorMac = mac;
    this.#isFirst = false;
    return withTsig(message, { ...reply, mac });
  }
}

/** Verifies the messages of one reply, in their order. */
export class TsigVerifier {
  readonly #key: TsigKey;
  #priorMac: Uint8Array;
  /** Messages without a signature since the last one with one (§5.3.1). */
  #unsigned: Uint8Array[] = [];
  #isFirst = true;

  constructor(key: TsigKey, queryMac: Uint8Array) {
    this.#key = key;
    this.#priorMac = queryMac;
  }

  /** All messages so far are verified; the last one of a reply has to be signed (§5.3.1). */
  get isSettled(): boolean {
    return !this.#isFirst && this.#unsigned.length === 0;
  }

  /** The message without its signature; a text if the signature is wrong or missing. */
  verify(packet: Uint8Array, unixSeconds: number): Uint8Array | string {
    const record = readTsig(packet);
    if (record === undefined) {
      if (this.#isFirst) return 'the reply is not signed';
      if (this.#unsigned.length === 100) return 'too many messages without a signature';
      // A copy: the caller may use the buffer again.
      this.#unsigned.push(new Uint8Array(packet));
      return packet;
    }
    if (record.mac.length === 0) return `the server refuses the key (TSIG error ${record.error})`;
    const message = withoutTsig(packet, record);
    const variables = this.#isFirst ? variablesOf(record) : timersOf(record);
    const parts = [lengthOf(this.#priorMac), this.#priorMac, ...this.#unsigned, message, variables];
    const mac = macOf(this.#key, parts);
    if (mac.length !== record.mac.length || !timingSafeEqual(mac, record.mac)) {
      return 'the signature is wrong';
    }
    this.#priorMac = mac;
    this.#unsigned = [];
    this.#isFirst = false;
    if (record.error !== 0) return `the server reports TSIG error ${record.error}`;
    if (Math.abs(unixSeconds - record.timeSeconds) > FUDGE_SECONDS) return 'the clocks differ';
    return message;
  }
}

/** §5.2.2.1: no signature is shorter, nor shorter than half of the hash. */
const LEAST_MAC_OCTETS = 10;
const NO_OCTETS = new Uint8Array(0);
const TIME_OCTETS = 6;
/** The rdata without names, signature and other data. */
const FIXED_OCTETS = 16;

function newRecord(key: TsigKey, id: number, unixSeconds: number): TsigRecord {
  return {
    at: 0,
    keyName: key.name,
    algorithm: [key.algorithm],
    timeSeconds: unixSeconds,
    fudgeSeconds: FUDGE_SECONDS,
    mac: NO_OCTETS,
    originalId: id,
    error: TsigError.NONE,
    other: NO_OCTETS,
  };
}

function isAlgorithm([label, ...rest]: Name, { algorithm }: TsigKey): boolean {
  return label === algorithm && rest.length === 0;
}

function macOf({ algorithm, secret }: TsigKey, parts: readonly Uint8Array[]): Uint8Array {
  const hmac = createHmac(HASHES[algorithm].hash, secret);
  for (const part of parts) hmac.update(part);
  return hmac.digest();
}

/** §4.3.3: the fields of the record that are signed with the message. */
function variablesOf(record: TsigRecord): Uint8Array {
  const fields = Buffer.alloc(6);
  fields.writeUInt16BE(Class.ANY, 0);
  const tail = Buffer.alloc(4);
  tail.writeUInt16BE(record.error, 0);
  tail.writeUInt16BE(record.other.length, 2);
  return Buffer.concat([
    wireName(record.keyName),
    fields,
    wireName(record.algorithm),
    timersOf(record),
    tail,
    record.other,
  ]);
}

/** §5.3.1: what is signed with each message after the first one. */
function timersOf({ timeSeconds, fudgeSeconds }: TsigRecord): Uint8Array {
  const fudge = Buffer.alloc(2);
  fudge.writeUInt16BE(fudgeSeconds);
  return Buffer.concat([timeOctets(timeSeconds), fudge]);
}

function timeOctets(seconds: number): Uint8Array {
  const octets = Buffer.alloc(TIME_OCTETS);
  octets.writeUIntBE(seconds, 0, TIME_OCTETS);
  return octets;
}

function lengthOf(mac: Uint8Array): Uint8Array {
  return Uint8Array.of(mac.length >>> 8, mac.length & 0xff);
}

/** The TSIG record at the end of a message; `undefined` without one, and if the message is malformed. */
function readTsig(packet: Uint8Array): TsigRecord | undefined {
  if (packet.length < HEADER_OCTETS) return undefined;
  const cursor = new Cursor(packet, 4);
  const questions = cursor.u16();
  const records = cursor.u16() + cursor.u16();
  const additional = cursor.u16();
  if (additional === 0) return undefined;
  for (let i = 0; i < questions && !cursor.failed; i++) {
    cursor.name();
    cursor.skip(4);
  }
  for (let i = 1; i < records + additional && !cursor.failed; i++) {
    cursor.name();
    cursor.skip(8);
    cursor.skip(cursor.u16());
  }
  const { at } = cursor;
  const keyName = foldName(cursor.name());
  const isTsig = cursor.u16() === Type.TSIG && cursor.u16() === Class.ANY && cursor.u32() === 0;
  const end = cursor.u16() + cursor.at;
  const algorithm = foldName(cursor.name());
  const timeSeconds = cursor.u16() * 2 ** 32 + cursor.u32();
  const fudgeSeconds = cursor.u16();
  const mac = cursor.copy(cursor.u16());
  const originalId = cursor.u16();
  const error = cursor.u16();
  const other = cursor.copy(cursor.u16());
  const isWhole = cursor.at === end && end === packet.length;
  if (!isTsig || cursor.failed || !isWhole) return undefined;
  return { at, keyName, algorithm, timeSeconds, fudgeSeconds, mac, originalId, error, other };
}

function withoutTsig(packet: Uint8Array, { at }: TsigRecord): Buffer {
  const message = Buffer.from(packet.subarray(0, at));
  message.writeUInt16BE(message.readUInt16BE(10) - 1, 10);
  return message;
}

function withTsig(message: Uint8Array, record: TsigRecord): Uint8Array {
  const key = wireName(record.keyName);
  const algorithm = wireName(record.algorithm);
  const rdataOctets = algorithm.length + FIXED_OCTETS + record.mac.length + record.other.length;
  const fields = Buffer.alloc(10);
  fields.writeUInt16BE(Type.TSIG, 0);
  fields.writeUInt16BE(Class.ANY, 2);
  fields.writeUInt16BE(rdataOctets, 8);
  const tail = Buffer.alloc(6);
  tail.writeUInt16BE(record.originalId, 0);
  tail.writeUInt16BE(record.error, 2);
  tail.writeUInt16BE(record.other.length, 4);
  const signed = Buffer.concat([
    message,
    key,
    fields,
    algorithm,
    timersOf(record),
    lengthOf(record.mac),
    record.mac,
    tail,
    record.other,
  ]);
  signed.writeUInt16BE(signed.readUInt16BE(10) + 1, 10);
  return signed;
}

function readId(message: Uint8Array): number {
  return ((message[0] as number) << 8) | (message[1] as number);
}
