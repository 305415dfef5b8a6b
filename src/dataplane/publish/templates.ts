/**
 * Makes the lists of a stored wildcard's answer (`table/layout.ts`, `PROBE_OCTETS`) from its octets, which are encoded
 * for a name that begins with the probe: a random label, so that octets which equal it stand for the question's name.
 */
import { MAX_NAME_OCTETS, type Name, nameOctets } from '../../dns/name.ts';
import { Type } from '../../dns/rr.ts';
import { HEADER_OCTETS, RR_FIELDS_OCTETS } from '../../dns/wire.ts';
import { PROBE_OCTETS, SRV_TARGET_OFFSET } from '../table/layout.ts';
import { endOfName, headOctets, type NameLengths } from './variants.ts';

/** Octets that letters' case does not change. */
const FIRST_OCTET = 0x80;

/** A label of `PROBE_OCTETS`, with its length octet, that no other name has. `random` is in [0, 1). */
export function newProbe(random: () => number): string {
  const octets = Array.from({ length: PROBE_OCTETS - 1 }, () => {
    return FIRST_OCTET + Math.floor(random() * (0x100 - FIRST_OCTET));
  });
  return String.fromCharCode(...octets);
}

/** The lengths of the names below a name. */
export function lengthsBelow(encloser: Name): NameLengths {
  return { shortest: nameOctets(encloser) + 2, longest: MAX_NAME_OCTETS };
}

/**
 * The lists for the octets behind a question about `qname`, which begins with the probe. `undefined` if the octets have
 * the probe where a reader cannot replace it.
 */
export function templateLists(octets: Uint8Array, qname: Name): readonly number[] | undefined {
  const probe = Buffer.from(qname[0] as string, 'latin1');
  const { inserts, pointers } = namesIn(octets, probe);
  if (occurrences(octets, probe) !== inserts.length) return undefined;
  const bodyAt = headOctets(nameOctets(qname));
  const moved = pointers.flatMap((at) => {
    const target = (((octets[at] as number) & 0x3f) << 8) | (octets[at + 1] as number);
    // The whole name of the question stays where it is.
    if (target === HEADER_OCTETS) return [];
    const times = 1 + inserts.filter((insert) => bodyAt + insert < target).length;
    return [at | (times << 16)];
  });
  return [inserts.length | (moved.length << 16), ...inserts, ...moved];
}

interface NamePlaces {
  /** Where SRV targets begin with the probe. */
  readonly inserts: readonly number[];
  /** Offsets of compression pointers, in their order. */
  readonly pointers: readonly number[];
}

function namesIn(octets: Uint8Array, probe: Uint8Array): NamePlaces {
  const inserts: number[] = [];
  const pointers: number[] = [];
  const skipName = (at: number): number => {
    const { end, pointerAt } = endOfName(octets, at);
    if (pointerAt !== undefined) pointers.push(pointerAt);
    return end;
  };
  for (let at = 0; at < octets.length; ) {
    const fields = skipName(at);
    const rdata = fields + RR_FIELDS_OCTETS;
    const type = read16(octets, fields);
    switch (type) {
      case Type.CNAME:
      case Type.NS:
      case Type.PTR:
        skipName(rdata);
        break;
      case Type.MX:
        skipName(rdata + 2);
        break;
      case Type.SOA:
        skipName(skipName(rdata));
        break;
      case Type.SRV:
        if (isAt(octets, rdata + SRV_TARGET_OFFSET - 2 + 1, probe)) {
          inserts.push(rdata + SRV_TARGET_OFFSET - 2);
        }
    }
    at = rdata + read16(octets, rdata - 2);
  }
  return { inserts, pointers };
}

function occurrences(octets: Uint8Array, wanted: Buffer): number {
  const buffer = Buffer.from(octets.buffer, octets.byteOffset, octets.length);
  let count = 0;
  for (let at = buffer.indexOf(wanted); at >= 0; at = buffer.indexOf(wanted, at + 1)) count++;
  return count;
}

function isAt(octets: Uint8Array, at: number, wanted: Uint8Array): boolean {
  return wanted.every((octet, i) => octets[at + i] === octet);
}

function read16(octets: Uint8Array, at: number): number {
  return ((octets[at] as number) << 8) | (octets[at + 1] as number);
}
