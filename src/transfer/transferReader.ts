/** Reads the messages of a transfer, as a client (RFC 5936 §2.2, RFC 1995 §4). Also the question for one. */
import { decodeMessage } from '../dns/decode.ts';
import { encodeQuery } from '../dns/encode.ts';
import type { Name } from '../dns/name.ts';
import { Class, Rcode, type Rr, Type } from '../dns/rr.ts';
import { HEADER_OCTETS } from '../dns/wire.ts';
import { MessageWriter } from '../dns/writer.ts';
import { isNewerSerial } from './serial.ts';

/** `serial`: of the version that the client has; without it the whole zone is wanted. */
export function transferQuestion(id: number, zone: Name, serial: number | undefined): Uint8Array {
  const qtype = serial === undefined ? Type.AXFR : Type.IXFR;
  const question = { qname: zone, qtype, qclass: Class.IN };
  const query = encodeQuery({ id, question, recursionDesired: false, checkingDisabled: false });
  if (serial === undefined) return query;
  const writer = new MessageWriter();
  writer.restart(0);
  writer.raw(query);
  writer.uncompressedName(zone);
  writer.u16(Type.SOA);
  writer.u16(Class.IN);
  writer.u32(0);
  // Only the serial of this SOA counts: the root stands for both names.
  writer.u16(2 + 5 * 4);
  writer.u16(0);
  for (const number of [serial, 0, 0, 0, 0]) writer.u32(number);
  writer.put16(8, 1);
  return writer.finish();
}

export type TransferProgress =
  /** Further messages follow. */
  | { readonly kind: 'more'; readonly rrs: readonly Rr[] }
  | { readonly kind: 'end'; readonly rrs: readonly Rr[] }
  | { readonly kind: 'refused'; readonly rcode: number }
  | { readonly kind: 'malformed' };

/** Follows one transfer from its first message to its last. */
export class TransferReader {
  readonly #id: number;
  /** The serial of the version that the client has; `undefined`: it wants the whole zone. */
  readonly #asked: number | undefined;
  #newest: number | undefined;
  /** SOA records with the newest serial. */
  #newestSoas = 0;
  #records = 0;
  #isSequence = false;

  constructor(id: number, serial: number | undefined) {
    this.#id = id;
    this.#asked = serial;
  }

  /** Takes the next message, without its signature. */
  read(message: Uint8Array): TransferProgress {
    const decoded = message.length < HEADER_OCTETS ? undefined : decodeMessage(message);
    if (decoded === undefined || !decoded.isResponse || decoded.id !== this.#id) {
      return { kind: 'malformed' };
    }
    if (decoded.rcode !== Rcode.NOERROR) return { kind: 'refused', rcode: decoded.rcode };
    const { answer: rrs } = decoded;
    let isEnd = false;
    for (const rr of rrs) {
      if (isEnd || !this.#take(rr)) return { kind: 'malformed' };
      isEnd = this.#isComplete(rr);
    }
    if (this.#records === 1 && !this.#isBehind()) isEnd = true;
    return { kind: isEnd ? 'end' : 'more', rrs };
  }

  /** Whether records have to follow the first SOA. If it is not newer than the client's, it comes alone (RFC 1995 §2). */
  #isBehind(): boolean {
    if (this.#asked === undefined || this.#newest === undefined) return true;
    return isNewerSerial(this.#newest, this.#asked);
  }

  /** False for a first record that is no SOA. */
  #take({ rdata }: Rr): boolean {
    const serial = rdata.kind === 'soa' ? rdata.serial : undefined;
    if (this.#records === 0) this.#newest = serial;
    this.#records++;
    if (this.#records === 2) this.#isSequence = serial !== undefined && serial !== this.#newest;
    if (serial !== undefined && serial === this.#newest) this.#newestSoas++;
    return this.#newest !== undefined;
  }

  /** In a sequence the newest SOA comes first, before the last additions, and last. */
  #isComplete({ rdata }: Rr): boolean {
    const isNewest = rdata.kind === 'soa' && rdata.serial === this.#newest;
    return isNewest && this.#newestSoas === (this.#isSequence ? 3 : 2);
  }
}
