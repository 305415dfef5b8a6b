/** Names as the answer table holds them. */
import { foldLabel, type Name, nameOctets } from '../../dns/name.ts';

/** The name in wire form (RFC 1035 §3.1), folded. */
export function wireName(name: Name): Uint8Array {
  const octets = new Uint8Array(nameOctets(name));
  let at = 0;
  for (const label of name) {
    const folded = foldLabel(label);
    octets[at++] = folded.length;
    for (let i = 0; i < folded.length; i++) octets[at++] = folded.charCodeAt(i);
  }
  return octets;
}
