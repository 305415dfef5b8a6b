/** A question for a zone, whose authority section may have the SOA of the version that the client has (RFC 1995 §3). */
import { Cursor } from '../dns/cursor.ts';
import { Type } from '../dns/rr.ts';
import { Flag, HEADER_OCTETS, opcodeOf, QUESTION_FIELDS_OCTETS } from '../dns/wire.ts';

export interface TransferQuery {
  /** Of the version that the client has; `undefined` in a question for the whole zone. */
  readonly serial: number | undefined;
  /** The query without the authority section. */
  readonly packet: Uint8Array;
}

/** `undefined` for any other packet, and a malformed one. */
export function readTransferQuery(packet: Uint8Array): TransferQuery | undefined {
  if (packet.length < HEADER_OCTETS) return undefined;
  const cursor = new Cursor(packet, 2);
  const flags = cursor.u16();
  if ((flags & Flag.QR) !== 0 || opcodeOf(flags) !== 0) return undefined;
  const [questions, answers, authority] = [cursor.u16(), cursor.u16(), cursor.u16()];
  if (questions !== 1 || answers !== 0) return undefined;
  cursor.skip(2);
  cursor.name();
  const qtype = cursor.u16();
  cursor.skip(QUESTION_FIELDS_OCTETS - 2);
  if (cursor.failed) return undefined;
  if (qtype === Type.AXFR) return authority === 0 ? { serial: undefined, packet } : undefined;
  return qtype === Type.IXFR && authority === 1 ? readIncremental(packet, cursor) : undefined;
}

/** Reads on behind the question. */
function readIncremental(packet: Uint8Array, cursor: Cursor): TransferQuery | undefined {
  const start = cursor.at;
  cursor.name();
  const type = cursor.u16();
  cursor.skip(6);
  const end = cursor.u16() + cursor.at;
  cursor.name();
  cursor.name();
  const serial = cursor.u32();
  if (cursor.failed || type !== Type.SOA || end > packet.length) return undefined;
  const whole = Buffer.concat([packet.subarray(0, start), packet.subarray(end)]);
  whole.writeUInt16BE(0, 8);
  return { serial, packet: whole };
}
