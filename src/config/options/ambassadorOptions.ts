/** The option rows of the ambassador: how it carries connections, and virtual addresses. */
import { familyOfAddress } from '../../dns/address.ts';
import { type Cidr, parseCidr } from '../../forward/addresses.ts';
import { FORWARD_OPTIONS } from './forwardOptions.ts';
import { type OptionValues, option, prefixed } from './option.ts';
import { SERVE_OPTIONS } from './serveOptions.ts';
import { oneOfValue, parsedBy, switchValue, wholeNumberValue } from './valueForms.ts';

const seconds = { form: 'text', placeholder: 'SECONDS' } as const;
const count = { form: 'text', placeholder: 'COUNT' } as const;

/** A longer drain is no drain. */
const MAX_DRAIN_SECONDS = 604_800;

/** The rows of both planes and of the proxy, which `soradns ambassador` has too. */
export const PROXY_OPTIONS = {
  balance: option<'random' | 'source'>({
    name: 'balance',
    form: 'text',
    placeholder: 'HOW',
    choices: ['random', 'source'],
    describe:
      'how to choose a backend: at random (random), or the same one for each source address (source); weights count in both',
    schema: oneOfValue('random', 'source'),
    fallback: 'random',
    defaultText: 'random',
    expects: 'random or source',
    example: 'source',
    env: ['SORADNS_AMBASSADOR_BALANCE'],
  }),
  drainSeconds: option<number>({
    ...seconds,
    name: 'drain',
    describe:
      'how long connections to a withdrawn backend may continue; 0: reset them at once, -1: never reset them',
    schema: parsedBy(parseDrain),
    fallback: 30,
    defaultText: '30',
    expects: `whole seconds from -1 to ${MAX_DRAIN_SECONDS}`,
    example: '30',
    env: ['SORADNS_AMBASSADOR_DRAIN'],
  }),
  probeSeconds: option<number>({
    ...seconds,
    name: 'probe',
    describe:
      'how often to connect to each backend; two failures leave it out on this host, one success brings it back; 0: never',
    schema: wholeNumberValue(0, 3_600),
    fallback: 0,
    defaultText: '0',
    expects: 'whole seconds from 0 to 3600',
    example: '1',
    env: ['SORADNS_AMBASSADOR_PROBE'],
  }),
  carrier: option<'auto' | 'splice' | 'net'>({
    name: 'carrier',
    form: 'text',
    placeholder: 'WHICH',
    choices: ['auto', 'splice', 'net'],
    describe:
      "what moves the octets of the proxy's TCP connections: the kernel (splice), Node's sockets (net), or the kernel if it can (auto)",
    schema: oneOfValue('auto', 'splice', 'net'),
    fallback: 'auto',
    defaultText: 'auto',
    expects: 'auto, splice or net',
    example: 'net',
    env: ['SORADNS_AMBASSADOR_CARRIER'],
  }),
  connectTimeoutSeconds: option<number>({
    ...seconds,
    name: 'connect-timeout',
    describe: 'how long the proxy waits for a backend before it tries the next one',
    schema: wholeNumberValue(1, 60),
    fallback: 2,
    defaultText: '2',
    expects: 'whole seconds from 1 to 60',
    example: '2',
    env: ['SORADNS_AMBASSADOR_CONNECT_TIMEOUT'],
  }),
  maxConnections: option<number>({
    ...count,
    name: 'max-connections',
    describe: 'connections that the proxy carries at a time',
    schema: wholeNumberValue(1, 1_000_000),
    fallback: 10_000,
    defaultText: '10000',
    expects: 'a whole number from 1 to 1000000',
    example: '10000',
    env: ['SORADNS_AMBASSADOR_MAX_CONNECTIONS'],
  }),
  maxPerSource: option<number>({
    ...count,
    name: 'max-per-source',
    describe: 'connections that the proxy carries for one source address',
    schema: wholeNumberValue(1, 1_000_000),
    fallback: 1_000,
    defaultText: '1000',
    expects: 'a whole number from 1 to 1000000',
    example: '1000',
    env: ['SORADNS_AMBASSADOR_MAX_PER_SOURCE'],
  }),
  proxyProtocol: option<boolean>({
    name: 'proxy-protocol',
    form: 'switch',
    describe: 'begin each connection to a backend with a PROXY protocol header (version 2)',
    schema: switchValue,
    fallback: false,
    defaultText: 'false',
    expects: 'true or false',
    example: 'true',
    env: ['SORADNS_AMBASSADOR_PROXY_PROTOCOL'],
  }),
  udpIdleSeconds: option<number>({
    ...seconds,
    name: 'udp-idle',
    describe: 'how long the proxy keeps the backend of a UDP client that is silent',
    schema: wholeNumberValue(1, 86_400),
    fallback: 60,
    defaultText: '60',
    expects: 'whole seconds from 1 to 86400',
    example: '60',
    env: ['SORADNS_AMBASSADOR_UDP_IDLE'],
  }),
};

/** The rows of the ambassador in a server; `serve` and `up` prefix their names. */
export const PLANE_OPTIONS = {
  plane: option<'auto' | 'nft' | 'proxy'>({
    name: 'plane',
    form: 'text',
    placeholder: 'WHICH',
    choices: ['auto', 'nft', 'proxy'],
    describe:
      'what carries connections: the kernel (nft), a proxy in this process (proxy), or the kernel if it can (auto)',
    schema: oneOfValue('auto', 'nft', 'proxy'),
    fallback: 'auto',
    defaultText: 'auto',
    expects: 'auto, nft or proxy',
    example: 'nft',
  }),
  ...PROXY_OPTIONS,
  crossBridge: option<boolean>({
    name: 'cross-bridge',
    form: 'switch',
    describe: "let virtual addresses reach published ports across Docker's bridges",
    schema: switchValue,
    fallback: true,
    defaultText: 'true',
    expects: 'true or false',
    example: 'false',
  }),
  slots: option<number>({
    ...count,
    name: 'slots',
    describe:
      "slots of a port in the kernel's map, a power of two; more slots follow weights better",
    schema: parsedBy(parseSlots),
    fallback: 16,
    defaultText: '16',
    expects: '16, 32, 64, 128 or 256',
    example: '64',
  }),
};

/** The rows of virtual addresses, and the switch of the ambassador. */
export const AMBASSADOR_SWITCHES = {
  ambassador: option<boolean>({
    name: 'ambassador',
    form: 'switch',
    describe: "carry this host's connections to virtual addresses and through links",
    schema: switchValue,
    fallback: false,
    defaultText: 'false',
    expects: 'true or false',
    example: 'true',
  }),
  vip: option<boolean>({
    name: 'vip',
    form: 'switch',
    describe: 'answer with virtual addresses and route them; implies --ambassador',
    schema: switchValue,
    fallback: false,
    defaultText: 'false',
    expects: 'true or false',
    example: 'true',
  }),
  vipRange: option<Cidr>({
    name: 'vip-range',
    form: 'text',
    placeholder: 'CIDR',
    describe: 'range of the virtual addresses; the same on all hosts',
    schema: parsedBy((text) => rangeOf(text, 4, 8, 24)),
    fallback: { address: '198.18.0.0', prefixLength: 16 },
    defaultText: '198.18.0.0/16',
    expects: 'an IPv4 range from /8 to /24',
    example: '198.18.0.0/16',
  }),
  vipRange6: option<Cidr | undefined>({
    name: 'vip-range6',
    form: 'text',
    placeholder: 'CIDR',
    describe: 'range of virtual IPv6 addresses; the same on all hosts',
    schema: parsedBy((text) => rangeOf(text, 6, 32, 112)),
    fallback: undefined,
    defaultText: 'none',
    expects: 'an IPv6 range from /32 to /112',
    example: 'fd53:6f72:6100::/64',
  }),
  vipAll: option<boolean>({
    name: 'vip-all',
    form: 'switch',
    describe: 'give a virtual address to every service of a container with a port',
    schema: switchValue,
    fallback: false,
    defaultText: 'false',
    expects: 'true or false',
    example: 'true',
  }),
};

const GROUP = 'With --ambassador:';

/** The ambassador's rows in `serve` and `up`. */
export const SERVE_AMBASSADOR_OPTIONS = {
  ...AMBASSADOR_SWITCHES,
  ...prefixed(PLANE_OPTIONS, 'ambassador-', GROUP),
};

export type AmbassadorSettings = OptionValues<typeof SERVE_AMBASSADOR_OPTIONS>;

/** The rows of `soradns ambassador`, besides the store's. */
export const AMBASSADOR_COMMAND_OPTIONS = {
  ...PROXY_OPTIONS,
  domains: {
    ...SERVE_OPTIONS.domains,
    describe: 'domain of the names in the store; repeatable',
  },
  nameservers: {
    ...FORWARD_OPTIONS.nameservers,
    describe: 'DNS servers for other names, and without --store for all names; repeatable',
  },
  http: {
    ...SERVE_OPTIONS.http,
    describe: 'address of the status page and health checks; "off" disables it',
    fallback: undefined,
    defaultText: 'off',
    example: '127.0.0.1:4003',
  },
  httpHosts: SERVE_OPTIONS.httpHosts,
  logLevel: SERVE_OPTIONS.logLevel,
};

function parseDrain(text: string): number | undefined {
  const value = /^(-1|[0-9]{1,6})$/.test(text) ? Number(text) : Number.NaN;
  return value <= MAX_DRAIN_SECONDS ? value : undefined;
}

function parseSlots(text: string): number | undefined {
  return ['16', '32', '64', '128', '256'].includes(text) ? Number(text) : undefined;
}

/** The range, if its prefix is no shorter than `least` and no longer than `most`. */
function rangeOf(text: string, family: 4 | 6, least: number, most: number): Cidr | undefined {
  const cidr = parseCidr(text);
  if (cidr === undefined || familyOfAddress(cidr.address) !== family) return undefined;
  return cidr.prefixLength >= least && cidr.prefixLength <= most ? cidr : undefined;
}
