/**
 * Names that no container may have inside the zones, as clients trust whoever has them. An aggregate answers for the
 * names below it (`x.wpad` for `wpad`), so the label counts wherever it stands. Keys that are set by hand are the
 * operator's business. PURE.
 */
import type { Name } from '../dns/name.ts';
import { zoneDepth } from './names.ts';

/** By label: what clients do with the name. */
const RESERVED: ReadonlyMap<string, string> = new Map([
  ['wpad', 'from which browsers take their proxy'],
  ['isatap', 'which Windows uses as its IPv6 router'],
  ['localhost', 'which programs take for their own host'],
]);

/** RFC 8555 §8.4: who answers there gets certificates for the name above. */
const ACME_CHALLENGE = '_acme-challenge';

/** `name` is folded. `isHeld`: whether the container has that name, too. The zones' own labels are the operator's. */
export function whyReserved(
  name: Name,
  zones: readonly Name[],
  isHeld: (above: Name) => boolean,
): string | undefined {
  for (const [i, label] of name.slice(0, name.length - zoneDepth(name, { zones })).entries()) {
    const use = RESERVED.get(label);
    if (use !== undefined)
      return `has the label ${label}, ${use}: choose another name (only soradns set may use it)`;
    const above = name.slice(i + 1);
    if (label.startsWith(ACME_CHALLENGE) && !isHeld(above))
      return `would get certificates for ${above.join('.')}, which is no name of this container: give it that name too`;
  }
  return undefined;
}

/** Of an ACME challenge, or a name below one: the name for which certificates are given there. */
export function nameVouchedFor(name: Name): Name | undefined {
  const at = name.findIndex((label) => label.startsWith(ACME_CHALLENGE));
  return at < 0 ? undefined : name.slice(at + 1);
}
