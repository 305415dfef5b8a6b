/** A virtual address in the store: its key ends in the address, and its value names the service that has it. */
import { type CanonicalAddress, canonicalAddress } from '../dns/address.ts';
import { foldName, type Name, parseName, printName } from '../dns/name.ts';
import { parseJsonValue } from './jsonValue.ts';
import { type ExposedPort, parseExposedPort } from './linking.ts';

/** What the value of a virtual address's key says. */
export interface VirtualAddressHolder {
  /** Folded. */
  readonly name: Name;
  /** When the name got the address, as the writer put it; for reports. */
  readonly since: string | undefined;
  /** Ports that the address has besides those of the records. */
  readonly ports: readonly GivenPort[];
}

/** A port of a virtual address that an operator gave it. */
export interface GivenPort {
  readonly port: ExposedPort;
  /** The own port of the containers that serve it; undefined: the same number. */
  readonly own: number | undefined;
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
const MAX_PORTS = 64;

/** `address`: the part of the key after the prefix. Never throws. */
export function parseVirtualAddress(address: string, value: Uint8Array): ParsedVirtualAddress {
  const canonical = canonicalAddress(address);
  if (canonical === undefined) return { kind: 'invalid', reason: 'the key is not an IP address' };
  // Otherwise two keys could give one address to two names.
  if (canonical.address !== address)
    return { kind: 'invalid', reason: `the key is another form of ${canonical.address}` };
  const parsed = parseJsonValue(value, MAX_HOLDER_OCTETS);
  if (parsed.kind === 'invalid') return parsed;
  const name = nameIn(parsed.json.name);
  if (name === undefined) return { kind: 'invalid', reason: 'name: must be a domain name' };
  const { since } = parsed.json;
  const isReadable = typeof since === 'string' && since.length <= MAX_SINCE_CHARACTERS;
  return {
    kind: 'virtual',
    address: canonical,
    holder: { name, since: isReadable ? since : undefined, ports: portsIn(parsed.json.ports) },
  };
}

/** The value of the key. */
export function virtualAddressValue({ name, since, ports }: VirtualAddressHolder): Uint8Array {
  // JSON leaves out what is undefined.
  const json = {
    name: printName(name),
    since,
    ports: ports.length === 0 ? undefined : ports.map(printGivenPort),
  };
  return new TextEncoder().encode(JSON.stringify(json));
}

/** The folded name; `undefined` for a name that no question can ask for exactly. */
function nameIn(value: unknown): Name | undefined {
  const name = typeof value === 'string' ? parseName(value) : undefined;
  if (name === undefined || name.length === 0) return undefined;
  const folded = foldName(name);
  return folded.some((label) => label === '*' || label === 'any') ? undefined : folded;
}

function portsIn(value: unknown): readonly GivenPort[] {
  if (!Array.isArray(value)) return [];
  return value.slice(0, MAX_PORTS).flatMap((text) => parseGivenPort(text) ?? []);
}

/** `5432`, `53/udp`, or with the containers' own port `80=8080`, `53=5353/udp`; `undefined` for anything else. */
export function parseGivenPort(value: unknown): GivenPort | undefined {
  const [, digits, own, protocol = ''] =
    typeof value === 'string'
      ? (/^([0-9]{1,5})(?:=([0-9]{1,5}))?(\/(?:tcp|udp))?$/.exec(value) ?? [])
      : [];
  const port = parseExposedPort(`${digits}${protocol}`);
  const ownPort = own === undefined ? undefined : parseExposedPort(own);
  if (port === undefined || (own !== undefined && ownPort === undefined)) return undefined;
  return { port, own: ownPort?.number };
}

export function printGivenPort({ port, own }: GivenPort): string {
  const { number, protocol } = port;
  return `${number}${own === undefined ? '' : `=${own}`}/${protocol}`;
}
