/**
 * The way of a question through soradns servers that forward to each other, as an EDNS option of our own: each server adds
 * its id, and one that finds its own id knows that the question has come round.
 *
 * The option's code is from the range for local use (RFC 6891 §9); four octets at its start tell it from others' use of
 * that code. Servers that do not know it step over it (RFC 6891 §6.1.2).
 */

/** Octets of an id as lower-case hexadecimal digits. */
export type ServerId = string;

export const PATH_OPTION = 65_083;

const MARK = Buffer.from('sora');
const ID_OCTETS = 8;
/** A longer way is a loop through servers that do not look at the option, or forged. */
const MAX_IDS = 16;

/** The ids that the option's data names; none for data of another kind. */
export function readPath(data: Uint8Array): readonly ServerId[] {
  const octets = Buffer.from(data.buffer, data.byteOffset, data.length);
  if (!octets.subarray(0, MARK.length).equals(MARK)) return [];
  const ids: ServerId[] = [];
  for (let at = MARK.length; at + ID_OCTETS <= octets.length && ids.length < MAX_IDS; ) {
    ids.push(octets.toString('hex', at, at + ID_OCTETS));
    at += ID_OCTETS;
  }
  return ids;
}

export function encodePath(path: readonly ServerId[]): Buffer {
  return Buffer.concat([MARK, ...path.slice(-MAX_IDS).map((id) => Buffer.from(id, 'hex'))]);
}

/** An id that no other server has; `randomOctets` gives so many octets from a cryptographic source. */
export function newServerId(randomOctets: (count: number) => Buffer): ServerId {
  return randomOctets(ID_OCTETS).toString('hex');
}
