/**
 * The table of a family in nft's language: its chains, and its maps and sets without their elements. Everything that
 * varies is an address, a number or one of two words, so no text from outside reaches nft's parser. Pure.
 *
 * A connection takes one element of a map: the element's key ends in a slot, which is drawn at random (or hashed from
 * the source address) for each connection. So one rule serves all routes, and a change of a route changes elements
 * alone. A route with many backends has more slots, in another map. A missing key lets the packet pass.
 *
 * The table needs no facts about the host, such as its networks: rules that need them look at its routing (`fib`), so
 * they are right from the first packet of a new network on.
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

/**
 * A bit of the mark of packets that may cross Docker's bridges. They have it only while the filters of other programs
 * judge whether to forward them, so neither routing nor other uses of the mark see it.
 */
export const CROSSING_MARK = '0x20000000';
/** The label of connections whose packets get that mark, for as long as connection tracking knows them. */
const CROSSING_LABEL = 93;

/** A route has that many slots; more follow weights better, and each costs memory. */
export const SLOT_COUNTS = [16, 32, 64, 128, 256] as const;

/** The name of the map that has the slots of a kind of route. */
export function mapName(kind: 'virtual' | 'consumer', slots: number): string {
  return `${kind}${slots}`;
}

/** What has ports. Without it nft knows no port in a connection's entry. */
const CARRIED = 'meta l4proto { tcp, udp }';

/** The `ip soradns` in nft's language. */
export function tableId(family: 4 | 6): string {
  return `${family === 4 ? 'ip' : 'ip6'} ${TABLE_NAME}`;
}

/** The sets whose elements follow from the routes. */
export const SETS = {
  /** Consumers' links: source, protocol and port. */
  links: 'links',
  /** Backends that only their own network may reach: address, protocol and port. */
  private: 'private',
  /** Backends on this host that consumers on all of its networks may reach: address, protocol and port. */
  published: 'published',
  /** Each backend's address, twice. */
  selves: 'selves',
} as const;

/** Sets whose elements the kernel adds while it handles the first packet of a connection, and drops soon after. */
const NOTED = {
  /** Source and backend behind one interface of this host. */
  near: 'near',
  /** Addresses of this host to which consumers connect. */
  gateways: 'gateways',
} as const;

const KINDS = ['virtual', 'consumer'] as const;

/** Every map and set whose elements follow from the routes. */
export const FILLED: readonly string[] = [
  ...KINDS.flatMap((kind) => SLOT_COUNTS.map((slots) => mapName(kind, slots))),
  ...Object.values(SETS),
];

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
  const range = form.range && networkText(form.range);
  return [
    ...declarations(form.family, ip),
    ...slotChains(form, ip),
    ...translation(ip, range),
    ...crossing(form, ip),
    ...sameLink(ip, range),
    ...refusal(ip, range),
  ].join('\n');
}

/** The kernel would choose another seed for each table: then a source would change its backend with the table. */
const SEED = '0x736f7261';

function slotExpression({ balance }: Pick<TableForm, 'balance'>, ip: string, slots: number) {
  return balance === 'source'
    ? `jhash ${ip} saddr mod ${slots} seed ${SEED}`
    : `numgen random mod ${slots}`;
}

/** The destination of a virtual address's connections, or the source of a consumer's, without the slot. */
function endOf(kind: 'virtual' | 'consumer', ip: string): string {
  return `${ip} ${kind === 'virtual' ? 'daddr' : 'saddr'} . meta l4proto . th dport`;
}

function declarations(family: 4 | 6, ip: string): readonly string[] {
  const address = family === 4 ? 'ipv4_addr' : 'ipv6_addr';
  const backend = `${ip} daddr . th dport`;
  const maps = KINDS.flatMap((kind) =>
    SLOT_COUNTS.map((slots) => {
      // Only the type counts here: it is that of a hash too.
      const slot = slotExpression({ balance: 'random' }, ip, slots);
      return `map ${mapName(kind, slots)} { typeof ${endOf(kind, ip)} . ${slot} : ${backend}; }`;
    }),
  );
  return [
    ...maps,
    `set ${SETS.links} { typeof ${endOf('consumer', ip)}; }`,
    `set ${SETS.private} { typeof ${endOf('virtual', ip)}; }`,
    `set ${SETS.published} { typeof ${endOf('virtual', ip)}; }`,
    `set ${SETS.selves} { type ${address} . ${address}; }`,
    `set ${NOTED.near} { type ${address} . ${address}; flags dynamic, timeout; timeout 2s; size 65536; }`,
    `set ${NOTED.gateways} { type ${address}; flags dynamic, timeout; timeout 10s; size 4096; }`,
  ];
}

function slotChains(form: TableForm, ip: string): readonly string[] {
  const lookups = (kind: 'virtual' | 'consumer') =>
    SLOT_COUNTS.map((slots) => {
      const key = `${endOf(kind, ip)} . ${slotExpression(form, ip, slots)}`;
      return `${CARRIED} dnat ${ip} to ${key} map @${mapName(kind, slots)}`;
    });
  return [
    'chain refuse {',
    'meta l4proto tcp reject with tcp reset',
    unreachable(form),
    '}',
    ...['chain virtual {', ...lookups('virtual'), '}'],
    // A link without a backend is refused here: later, a listener of the host or of Docker could take it.
    'chain consumer {',
    ...[`update @${NOTED.gateways} { ${ip} daddr }`, ...lookups('consumer'), 'goto refuse'],
    '}',
  ];
}

/**
 * Refuses TCP too. Once a packet from a bridge is translated this is the only way: with br_netfilter, the kernel sends a
 * reset past the translation.
 */
function unreachable({ family }: Pick<TableForm, 'family'>): string {
  return `reject with ${family === 4 ? 'icmp' : 'icmpv6'} type port-unreachable`;
}

/** Comes before Docker's rules, whose chains have the priorities without the -1. */
function translation(ip: string, range: string | undefined): readonly string[] {
  const toVirtual = optional(range, `${ip} daddr ${range} goto virtual`);
  return [
    'chain before_routing {',
    'type nat hook prerouting priority dstnat - 1; policy accept;',
    ...toVirtual,
    `${endOf('consumer', ip)} @${SETS.links} fib daddr type local goto consumer`,
    '}',
    'chain from_host {',
    'type nat hook output priority -101; policy accept;',
    ...toVirtual,
    '}',
  ];
}

/**
 * A backend that shares a network with the consumer would answer it directly, from an address to which the consumer did
 * not connect. So such a connection comes from this host's address. Where the bridge passes the packet on itself
 * (br_netfilter, which gives it no incoming interface after routing), it also translates the answer, and the consumer's
 * address stays, unless the backend is the consumer itself.
 */
function sameLink(ip: string, range: string | undefined): readonly string[] {
  const pair = `${ip} saddr . ${ip} daddr`;
  return [
    'chain masked {',
    `${pair} @${SETS.selves} masquerade`,
    `iif != 0 ${pair} @${NOTED.near} masquerade`,
    '}',
    'chain after_routing {',
    'type nat hook postrouting priority srcnat - 1; policy accept;',
    ...ourFlows(ip, range).map((flow) => `${flow} goto masked`),
    '}',
  ];
}

/**
 * The first packet of a connection decides whether it may go on, and whether it may cross Docker's bridges. The label
 * keeps that: the connection may outlive the route's backend, and this table.
 */
function crossing(form: TableForm, ip: string): readonly string[] {
  const range = form.range && networkText(form.range);
  const end = endOf('virtual', ip);
  return [
    'chain begun {',
    `fib daddr . iif oif exists update @${NOTED.near} { ${ip} saddr . ${ip} daddr }`,
    `${end} @${SETS.published} ct label set ${CROSSING_LABEL} return`,
    `fib daddr . iif oif missing ${end} @${SETS.private} ${unreachable(form)}`,
    '}',
    'chain forwarded {',
    'type filter hook forward priority filter - 1; policy accept;',
    ...ourFlows(ip, range).map((flow) => `ct state new ${flow} jump begun`),
    `ct label ${CROSSING_LABEL} meta mark set meta mark or ${CROSSING_MARK}`,
    '}',
    'chain judged {',
    'type filter hook forward priority filter + 1; policy accept;',
    `ct label ${CROSSING_LABEL} meta mark set meta mark and ${~Number(CROSSING_MARK) >>> 0}`,
    '}',
  ];
}

/** The packets of connections to virtual addresses and through links. A link is also known by its host's address. */
function ourFlows(ip: string, range: string | undefined): readonly string[] {
  const end = `ct original ${ip} saddr . meta l4proto . ct original proto-dst`;
  return [
    ...optional(range, `ct status dnat ct original ${ip} daddr ${range}`),
    `ct status dnat ${CARRIED} ${end} @${SETS.links} ct original ${ip} daddr @${NOTED.gateways}`,
  ];
}

/** What was not translated although it is for a virtual address has no backend. */
function refusal(ip: string, range: string | undefined): readonly string[] {
  const untranslated = optional(range, `${ip} daddr ${range} goto refuse`);
  return [
    // Before routing, because this host may have no route for virtual addresses.
    'chain arrived {',
    'type filter hook prerouting priority dstnat + 1; policy accept;',
    ...untranslated,
    '}',
    'chain sent {',
    'type filter hook output priority filter - 1; policy accept;',
    ...untranslated,
    '}',
  ];
}

function optional(range: string | undefined, line: string): readonly string[] {
  return range === undefined ? [] : [line];
}
