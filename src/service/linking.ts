/**
 * The fields of a service that only soradns reads: SkyDNS and CoreDNS ignore them. Other programs may store fields with
 * these names, so a value of another form counts as absent and does not make the service invalid.
 */
import { canonicalAddress } from '../dns/address.ts';
import { foldName, type Name, parseName } from '../dns/name.ts';

export interface Linking {
  /** The container's own port. Absent: the service's `port`, TCP. */
  readonly expose: ExposedPort | undefined;
  readonly tags: readonly string[];
  /** `auto` or an address: a name of the service gets a virtual address. `none`: it gets none. */
  readonly vip: string | undefined;
  /** The name that gets it. Absent: the owner name without its first label. */
  readonly vipName: Name | undefined;
  /** The port at the virtual address. Absent: `expose`. */
  readonly vipPort: ExposedPort | undefined;
  readonly leader: LeaderRule | undefined;
  /** Proxies begin each connection with a header of the PROXY protocol. */
  readonly proxyProtocol: boolean;
}

export interface ExposedPort {
  readonly number: number;
  readonly protocol: 'tcp' | 'udp';
}

/** How the leader of a name is chosen; `yes` marks one of the instances that may lead. */
export const LEADER_RULES = ['oldest', 'manual', 'never', 'yes'] as const;
export type LeaderRule = (typeof LEADER_RULES)[number];

export const NO_LINKING: Linking = {
  expose: undefined,
  tags: [],
  vip: undefined,
  vipName: undefined,
  vipPort: undefined,
  leader: undefined,
  proxyProtocol: false,
};

export const MAX_TAGS = 64;
export const MAX_TAG_CHARACTERS = 255;

/** The linking with the field's value; `undefined` if the (lower-case) field is none of these. */
export function readLinking(linking: Linking, field: string, value: unknown): Linking | undefined {
  switch (field) {
    case 'expose':
      return { ...linking, expose: parseExposedPort(value) };
    case 'tags':
      return { ...linking, tags: readTags(value) };
    case 'vip':
      return { ...linking, vip: readVirtualAddress(value) };
    case 'vipname':
      return { ...linking, vipName: readName(value) };
    case 'vipport':
      return { ...linking, vipPort: parseExposedPort(value) };
    case 'leader':
      return { ...linking, leader: LEADER_RULES.find((rule) => rule === value) };
    case 'proxyprotocol':
      return { ...linking, proxyProtocol: value === true };
    default:
      return undefined;
  }
}

/** A port from `5432`, `"5432"`, `"5432/tcp"` or `"53/udp"`. */
export function parseExposedPort(value: unknown): ExposedPort | undefined {
  const [, digits, protocol = 'tcp'] =
    /^([0-9]{1,5})(?:\/(tcp|udp))?$/.exec(typeof value === 'number' ? `${value}` : asText(value)) ??
    [];
  const number = Number(digits);
  if (!(number >= 1 && number <= 65_535)) return undefined;
  return { number, protocol: protocol === 'udp' ? 'udp' : 'tcp' };
}

export function printExposedPort({ number, protocol }: ExposedPort): string {
  return `${number}/${protocol}`;
}

function readTags(value: unknown): readonly string[] {
  if (!Array.isArray(value)) return [];
  return value
    .filter((tag): tag is string => typeof tag === 'string' && tag !== '')
    .filter((tag) => tag.length <= MAX_TAG_CHARACTERS)
    .slice(0, MAX_TAGS);
}

function readVirtualAddress(value: unknown): string | undefined {
  if (value === 'auto' || value === 'none') return value;
  return canonicalAddress(asText(value))?.address;
}

function readName(value: unknown): Name | undefined {
  const name = parseName(asText(value));
  return name === undefined || name.length === 0 ? undefined : foldName(name);
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
