/** Who may have the zones (`--transfer-allow`), and who is told about a new version (`--notify`). */
import {
  canonicalAddress,
  DNS_PORT,
  parseSocketAddress,
  type SocketAddress,
} from '../dns/address.ts';
import { equalNames, foldName, type Name, parseName } from '../dns/name.ts';
import { addressSet, type Cidr, parseCidr } from '../forward/addresses.ts';

/** `CIDR`, `key:NAME`, or `CIDR+key:NAME`: what is set has to hold. */
export interface TransferRule {
  readonly range: Cidr | undefined;
  /** Folded. */
  readonly key: Name | undefined;
}

/** A secondary that is told about new versions. */
export interface NotifyTarget {
  /** The address is canonical, so that the reply's is equal; a link-local one keeps its `%zone`. */
  readonly server: SocketAddress;
  /** Signs the message; folded. */
  readonly key: Name | undefined;
}

const KEY = 'key:';

export function parseTransferRule(text: string): TransferRule | undefined {
  const [first = '', ...rest] = text.split('+');
  if (first.startsWith(KEY)) {
    const key = rest.length === 0 ? parseKey(first) : undefined;
    return key && { range: undefined, key };
  }
  const range = parseCidr(first);
  if (range === undefined || rest.length > 1) return undefined;
  const key = rest[0] === undefined ? undefined : parseKey(rest[0]);
  return rest[0] !== undefined && key === undefined ? undefined : { range, key };
}

export function parseNotifyTarget(text: string): NotifyTarget | undefined {
  const [address = '', ...rest] = text.split('+');
  const server = parseSocketAddress(address, DNS_PORT);
  if (server === undefined || server.port === 0 || rest.length > 1) return undefined;
  const key = rest[0] === undefined ? undefined : parseKey(rest[0]);
  if (rest[0] !== undefined && key === undefined) return undefined;
  return { server: { ...server, address: canonicalWithZone(server.address) }, key };
}

function canonicalWithZone(text: string): string {
  const [address = '', zone] = text.split('%');
  const canonical = canonicalAddress(address);
  if (canonical === undefined) return text;
  const hasZone = zone !== undefined && canonical.family === 6;
  return hasZone ? `${canonical.address}%${zone}` : canonical.address;
}

function parseKey(text: string): Name | undefined {
  if (!text.startsWith(KEY)) return undefined;
  const name = parseName(text.slice(KEY.length));
  return name === undefined || name.length === 0 ? undefined : foldName(name);
}

/** Whether a client may have the zones; `key` is the verified key of its question. */
export type MayTransfer = (address: string, key: Name | undefined) => boolean;

/** `allowed`: the clients that get answers (`--allow`); `undefined`: all. */
export function transferPolicy(
  rules: readonly TransferRule[],
  allowed?: readonly Cidr[],
): MayTransfer {
  const isAllowed = allowed === undefined ? () => true : addressSet(allowed);
  const all = rules.map((rule) => ({
    ...rule,
    holds: rule.range === undefined ? () => true : addressSet([rule.range]),
  }));
  return (address, key) =>
    isAllowed(address) &&
    all.some(
      (rule) =>
        (rule.key === undefined || (key !== undefined && equalNames(rule.key, key))) &&
        rule.holds(address),
    );
}
