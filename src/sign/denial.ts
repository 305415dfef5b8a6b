/**
 * Compact denial of existence (RFC 9824): one NSEC record for the name itself, whose next name is the first one below
 * it. Its types are those of the name; a name that does not exist has NXNAME.
 */
import { MAX_NAME_OCTETS, type Name, nameOctets, wireName } from '../dns/name.ts';
import { typeBitmaps } from '../dns/presentation/dnssecFields.ts';
import { Class, type Rr, Type } from '../dns/rr.ts';

/** The NSEC of an existing name with records of these types; an empty non-terminal has none. */
export function nsecOfName(owner: Name, types: readonly number[], ttlSeconds: number): Rr {
  return nsec(owner, [...types, Type.RRSIG, Type.NSEC], ttlSeconds);
}

/** The NSEC of a name that does not exist (RFC 9824 §3.1). */
export function nsecOfMissingName(owner: Name, ttlSeconds: number): Rr {
  return nsec(owner, [Type.RRSIG, Type.NSEC, Type.NXNAME], ttlSeconds);
}

function nsec(owner: Name, types: readonly number[], ttlSeconds: number): Rr {
  const octets = Buffer.concat([
    wireName(nextName(owner)),
    Buffer.from(typeBitmaps(types), 'latin1'),
  ]);
  return {
    owner,
    type: Type.NSEC,
    class: Class.IN,
    ttlSeconds,
    rdata: { kind: 'unknown', octets },
  };
}

/** The first name after this one in canonical order (RFC 4034 §6.1), or nearly so if there is no room for a label. */
function nextName(name: Name): Name {
  if (nameOctets(name) + 2 <= MAX_NAME_OCTETS) return ['\0', ...name];
  const [first = '', ...rest] = name;
  const label = first.replace(/\xff+$/, '');
  if (label === '') return nextName(rest);
  const last = label.charCodeAt(label.length - 1) + 1;
  // Upper-case letters count as lower-case ones, which come later.
  const next = last >= 0x41 && last <= 0x5a ? 0x5b : last;
  return [label.slice(0, -1) + String.fromCharCode(next), ...rest];
}
