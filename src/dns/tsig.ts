/**
 * Transaction signatures (RFC 8945) as far as a server without keys needs them: a signed query is refused with BADKEY, since
 * an unsigned answer would look like one to its client.
 */
import { Cursor } from './cursor.ts';
import type { Name } from './name.ts';
import { Class, type Rr, Type } from './rr.ts';

const BADKEY = 17;

/** Time signed and fudge. */
const TIME_OCTETS = 8;

/**
 * The record that answers a query's TSIG by an unknown key (RFC 8945 §5.2.1, §5.3.2): that query's own, unsigned, with the
 * error. `start` to `end` is the query's rdata. `undefined` where that is malformed.
 */
export function badKey(
  owner: Name,
  packet: Uint8Array,
  start: number,
  end: number,
): Rr | undefined {
  const cursor = new Cursor(packet, start);
  cursor.end = end;
  const algorithm = cursor.fullName();
  const time = cursor.copy(TIME_OCTETS);
  cursor.skip(cursor.u16());
  const originalId = cursor.copy(2);
  cursor.skip(2);
  cursor.skip(cursor.u16());
  if (cursor.failed || cursor.at !== end) return undefined;
  const octets = Buffer.concat([
    Buffer.from(algorithm, 'latin1'),
    time,
    Buffer.from([0, 0]),
    originalId,
    Buffer.from([0, BADKEY, 0, 0]),
  ]);
  return {
    owner,
    type: Type.TSIG,
    class: Class.ANY,
    ttlSeconds: 0,
    rdata: { kind: 'unknown', octets },
  };
}
