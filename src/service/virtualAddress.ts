/** A virtual address in the store: its key ends in the address, and its value names the service that has it. */
import { type CanonicalAddress, canonicalAddress } from '../dns/address.ts';
import { foldName, type Name, parseName } from '../dns/name.ts';
import { parseJsonValue } from './jsonValue.ts';

/** What the value of a virtual address's key says. */
export interface VirtualAddressHolder {
  /** Folded. */
  readonly name: Name;
  /** When the name got the address, as the writer put it; for reports. */
  readonly since: string | undefined;
}

export type ParsedVirtualAddress =
  | {
      readonly kind: 'virtual';
      readonly address: CanonicalAddress;
      readonly holder: VirtualAddressHolder;
    }
  | { readonly kind: 'invalid'; readonly reason: string };

const MAX_HOLDER_OCTETS = 4_096;
const MAX_SINCE_CHARACTERS = 64;

/** `address`: the part of the key after the prefix. Never throws. */
export function parseVirtualAddress(address: string, value: Uint8Array): ParsedVirtualAddress {
  const canonical = canonicalAddress(address);
  if (canonical === undefined) return { kind: 'invalid', reason: 'the key is not an IP address' };
  const parsed = parseJsonValue(value, MAX_HOLDER_OCTETS);
  if (parsed.kind === 'invalid') return parsed;
  const name = nameIn(parsed.json.name);
  if (name === undefined) return { kind: 'invalid', reason: 'name: must be a domain name' };
  const { since } = parsed.json;
  const isReadable = typeof since === 'string' && since.length <= MAX_SINCE_CHARACTERS;
  return {
    kind: 'virtual',
    address: canonical,
    holder: { name, since: isReadable ? since : undefined },
  };
}

/** The folded name; `undefined` for a name that no question can ask for exactly. */
function nameIn(value: unknown): Name | undefined {
  const name = typeof value === 'string' ? parseName(value) : undefined;
  if (name === undefined || name.length === 0) return undefined;
  const folded = foldName(name);
  return folded.some((label) => label === '*' || label === 'any') ? undefined : folded;
}
