/**
 * One name is one claim, whether it has one address or two. A name with one address has its record at its own key. A
 * dual-stack name has none there, and one below it for each family: `web/ipv4` and `web/ipv6`. That is the shape that
 * external-dns writes: SkyDNS and CoreDNS answer A and AAAA at `web` from what is below it, and `targetstrip` makes
 * `web` the SRV target of both. So the three keys belong together: a container that has the name has all of them.
 */

/** The label of a family below its name. */
export type FamilyLabel = 'ipv4' | 'ipv6';

export function familyLabel(family: 4 | 6): FamilyLabel {
  return family === 4 ? 'ipv4' : 'ipv6';
}

/** Where the record of a name is stored. */
export function storedKey(name: string, family: FamilyLabel | undefined): string {
  return family === undefined ? name : `${name}/${family}`;
}

/** Every key at which a name may have a record: its own, and below it one for each family. */
export type NameKeys = readonly [own: string, v4: string, v6: string];

export function keysOfName(name: string): NameKeys {
  return [name, `${name}/ipv4`, `${name}/ipv6`];
}

/** The name that a stored key may belong to besides itself: `/s/web` for `/s/web/ipv4`, the key itself for others. */
export function nameKeyOf(key: string): string {
  return key.endsWith('/ipv4') || key.endsWith('/ipv6') ? key.slice(0, -'/ipv4'.length) : key;
}
