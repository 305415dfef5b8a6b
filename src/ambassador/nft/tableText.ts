/**
 * The table of a family in nft's language: its chains, and its maps and sets without their elements. Everything that
 * varies is an address, a number or one of two words, so no text from outside reaches nft's parser. Pure.
 *
 * A connection takes one element of a map: the element's key ends in a slot, which is drawn at random (or hashed from
 * the source address) for each connection. So one rule serves all routes, and a change of a route changes elements
 * alone. A route with many backends has more slots, in another map. A missing key lets the packet pass.
 */
import { addressOctets, printAddress } from '../../dns/address.ts';
import type { Network } from '../vipRange.ts';

export interface TableForm {
  readonly family: 4 | 6;
  /** The virtual addresses of the family; undefined: it has none. */
  readonly range: Network | undefined;
  readonly balance: 'random' | 'source';
}

export const TABLE_NAME = 'soradns';

/** A route has that many slots; more follow weights better, and each costs memory. */
export const SLOT_COUNTS = [16, 32, 64, 128, 256] as const;

/** The name of the map that has the slots of a kind of route. */
export function mapName(kind: 'virtual' | 'consumer', slots: number): string {
  return `${kind}${slots}`;
}

/** The `ip soradns` in nft's language. */
export function tableId(family: 4 | 6): string {
  return `${family === 4 ? 'ip' : 'ip6'} ${TABLE_NAME}`;
}

export const SETS = {
  /** Source addresses of containers with links. */
  consumers: 'consumers',
  /** Linked ports without a backend: source, protocol and port. */
  refused: 'refused',
  /** Backends that only their own network may reach: address, protocol and port. */
  private: 'private',
  /** Pairs of networks whose members reach each other without this host, so that replies would bypass it. */
  neighbours: 'neighbours',
  /** This host's own addresses. */
  local: 'local',
} as const;

/** Throws RangeError for text that is no network. */
export function networkText({ address, prefixLength }: Network): string {
  const octets = addressOctets(address);
  if (!Number.isInteger(prefixLength) || prefixLength < 0 || prefixLength > octets.length * 8)
    throw new RangeError(`no network has a prefix of ${prefixLength} bits`);
  return `${printAddress(octets)}/${prefixLength}`;
}

/** The body of the table, for `table ip soradns { … }`. */
export function tableText(form: TableForm): string {
  const ip = form.family === 4 ? 'ip' : 'ip6';
  return [...declarations(form, ip), ...translation(form, ip), ...refusal(form, ip)].join('\n');
}

function slotExpression({ balance }: TableForm, ip: string, slots: number): string {
  return balance === 'source' ? `jhash ${ip} saddr mod ${slots}` : `numgen random mod ${slots}`;
}

function keyOf(kind: 'virtual' | 'consumer', form: TableForm, ip: string, slots: number): string {
  const end = kind === 'virtual' ? 'daddr' : 'saddr';
  return `${ip} ${end} . meta l4proto . th dport . ${slotExpression(form, ip, slots)}`;
}

const KINDS = ['virtual', 'consumer'] as const;

function declarations(form: TableForm, ip: string): readonly string[] {
  const address = form.family === 4 ? 'ipv4_addr' : 'ipv6_addr';
  const maps = KINDS.flatMap((kind) =>
    SLOT_COUNTS.map((slots) => {
      const key = keyOf(kind, form, ip, slots);
      return `map ${mapName(kind, slots)} { typeof ${key} : ${ip} daddr . th dport; }`;
    }),
  );
  return [
    ...maps,
    `set ${SETS.consumers} { type ${address}; }`,
    `set ${SETS.refused} { typeof ${ip} saddr . meta l4proto . th dport; }`,
    `set ${SETS.private} { typeof ${ip} daddr . meta l4proto . th dport; }`,
    `set ${SETS.neighbours} { type ${address} . ${address}; flags interval; }`,
    `set ${SETS.local} { type ${address}; }`,
  ];
}

/** Comes before Docker's rules, whose chains have the priorities without the -1. */
function translation(form: TableForm, ip: string): readonly string[] {
  const lines = KINDS.flatMap((kind) => [
    `chain ${kind} {`,
    ...SLOT_COUNTS.map((slots) => {
      const key = keyOf(kind, form, ip, slots);
      return `meta l4proto { tcp, udp } dnat ${ip} to ${key} map @${mapName(kind, slots)}`;
    }),
    '}',
  ]);
  const toVirtual = form.range && `${ip} daddr ${networkText(form.range)} goto virtual`;
  // The reply of a neighbour would go straight to the consumer, which expects it from the address it connected to.
  const toNeighbour = `${ip} saddr . ${ip} daddr @${SETS.neighbours} masquerade`;
  return [
    ...lines,
    'chain before_routing {',
    'type nat hook prerouting priority dstnat - 1; policy accept;',
    ...optional(toVirtual),
    `${ip} saddr @${SETS.consumers} fib daddr type local goto consumer`,
    '}',
    'chain from_host {',
    'type nat hook output priority -101; policy accept;',
    ...optional(toVirtual),
    '}',
    'chain after_routing {',
    'type nat hook postrouting priority srcnat - 1; policy accept;',
    ...optional(
      form.range &&
        `ct status dnat ct original ${ip} daddr ${networkText(form.range)} ${toNeighbour}`,
    ),
    `ct status dnat ${ip} saddr @${SETS.consumers} ct original ${ip} daddr @${SETS.local} ${toNeighbour}`,
    '}',
  ];
}

/** What was not translated although it is for a virtual address has no backend. */
function refusal(form: TableForm, ip: string): readonly string[] {
  const unreachable =
    form.family === 4 ? 'icmp type port-unreachable' : 'icmpv6 type port-unreachable';
  const untranslated = form.range && `${ip} daddr ${networkText(form.range)} goto refuse`;
  const foreign = `${ip} saddr . ${ip} daddr != @${SETS.neighbours}`;
  return [
    'chain refuse {',
    'meta l4proto tcp reject with tcp reset',
    `reject with ${unreachable}`,
    '}',
    // Before routing, because this host may have no route for virtual addresses.
    'chain arrived {',
    'type filter hook prerouting priority dstnat + 1; policy accept;',
    ...optional(untranslated),
    '}',
    'chain forwarded {',
    'type filter hook forward priority filter - 1; policy accept;',
    `ct status dnat ${ip} daddr . meta l4proto . th dport @${SETS.private} ${foreign} ct direction original goto refuse`,
    '}',
    'chain sent {',
    'type filter hook output priority filter - 1; policy accept;',
    ...optional(untranslated),
    '}',
    'chain received {',
    'type filter hook input priority filter - 1; policy accept;',
    `${ip} saddr . meta l4proto . th dport @${SETS.refused} fib daddr type local goto refuse`,
    '}',
  ];
}

function optional(line: string | undefined): readonly string[] {
  return line === undefined ? [] : [line];
}
