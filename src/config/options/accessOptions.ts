/** The option rows about clients: who gets answers, and what the server says about itself. */
import { MAX_NSID_OCTETS } from '../../dns/edns.ts';
import { type Cidr, DEFAULT_RECURSION_RANGES, parseCidr } from '../../forward/addresses.ts';
import { option } from './option.ts';
import {
  eitherValue,
  listOf,
  mappedValue,
  oneOfValue,
  parsedBy,
  Secret,
  switchValue,
  wholeNumberValue,
} from './valueForms.ts';

/** The longest string of a TXT record (RFC 1035 §3.3). */
const MAX_STRING_OCTETS = 255;

const MAX_REPLIES_PER_SECOND = 100_000;

/** The bits of a client's network. */
export interface RatePrefix {
  readonly ipv4Bits: number;
  readonly ipv6Bits: number;
}

function parseRatePrefix(text: string): RatePrefix | undefined {
  const [, first, second] = /^([0-9]{1,2})\/([0-9]{1,3})$/.exec(text) ?? [];
  const [ipv4Bits, ipv6Bits] = [Number(first), Number(second)];
  const isValid = ipv4Bits >= 1 && ipv4Bits <= 32 && ipv6Bits >= 1 && ipv6Bits <= 128;
  return isValid ? { ipv4Bits, ipv6Bits } : undefined;
}

const MAX_COOKIE_SECRETS = 3;

/** One to three secrets in hexadecimal digits, as files of Knot, NSD and BIND have them, separated by white space. */
function parseCookieSecrets(text: string): Secret | undefined {
  const secrets = text.split(/[\s,]+/);
  const isValid = secrets.every((secret) => /^[0-9a-f]{32}$/i.test(secret));
  return isValid && secrets.length <= MAX_COOKIE_SECRETS
    ? new Secret(secrets.join(' '))
    : undefined;
}

/** The octets of each secret. */
export function cookieSecretsOf(secrets: Secret): readonly Uint8Array[] {
  return secrets
    .reveal()
    .split(' ')
    .map((digits) => Uint8Array.from(Buffer.from(digits, 'hex')));
}

/** Printable ASCII, so that clients show it as it is. */
function textOf(maxOctets: number) {
  return parsedBy((text) => (/^[ -~]+$/.test(text) && text.length <= maxOctets ? text : undefined));
}

export const ACCESS_OPTIONS = {
  allow: option<readonly Cidr[] | undefined>({
    name: 'allow',
    form: 'list',
    placeholder: 'CIDR',
    describe:
      'clients that get answers; the server drops the UDP packets of others, and refuses their queries over TCP; repeatable',
    schema: listOf(parsedBy(parseCidr)),
    fallback: undefined,
    defaultText: 'every client',
    expects: 'an address range',
    example: '172.16.0.0/12',
    live: true,
  }),
  identity: option<string | undefined>({
    name: 'identity',
    form: 'text',
    placeholder: 'TEXT',
    describe:
      'name of this server, for clients that ask which server answers (NSID, id.server); "host": the name of this host',
    schema: textOf(MAX_NSID_OCTETS),
    fallback: undefined,
    expects: `a text of 1 to ${MAX_NSID_OCTETS} printable ASCII characters`,
    example: 'dns1.example.org',
    live: true,
  }),
  versionText: option<string | undefined>({
    name: 'version-text',
    form: 'text',
    placeholder: 'TEXT',
    describe: 'answer to version.bind and version.server; "none" refuses it',
    schema: eitherValue(
      mappedValue(oneOfValue('none'), () => undefined),
      textOf(MAX_STRING_OCTETS),
    ),
    fallback: 'soradns',
    defaultText: 'soradns',
    expects: `a text of 1 to ${MAX_STRING_OCTETS} printable ASCII characters, or none`,
    example: 'none',
    live: true,
  }),
  cookies: option<boolean>({
    name: 'cookies',
    form: 'switch',
    describe: 'answer DNS cookies (RFC 7873)',
    schema: switchValue,
    fallback: false,
    defaultText: 'false',
    expects: 'true or false',
    example: 'true',
    live: true,
  }),
  cookieSecrets: option<Secret | undefined>({
    name: 'cookie-secret',
    form: 'text',
    placeholder: 'HEX',
    describe:
      'secrets of DNS cookies, by default a random one: one to three lines of 32 hexadecimal digits, the first of which signs',
    schema: parsedBy(parseCookieSecrets),
    fallback: undefined,
    expects: `one to ${MAX_COOKIE_SECRETS} lines of 32 hexadecimal digits`,
    example: '/run/secrets/soradns-cookies',
    secret: true,
    live: true,
  }),
  rrl: option<number>({
    name: 'rrl',
    form: 'text',
    placeholder: 'PER_SECOND',
    describe: 'most replies a second over UDP to one network about one name; 0: no limit',
    schema: wholeNumberValue(0, MAX_REPLIES_PER_SECOND),
    fallback: 0,
    defaultText: '0',
    expects: `a whole number from 0 to ${MAX_REPLIES_PER_SECOND}`,
    example: '200',
    live: true,
  }),
  rrlSlip: option<number>({
    name: 'rrl-slip',
    form: 'text',
    placeholder: 'N',
    describe:
      'of the replies over the limit, one in N tells the client to ask over TCP, and the others are not sent; 0: none is sent',
    schema: wholeNumberValue(0, 10),
    fallback: 2,
    defaultText: '2',
    expects: 'a whole number from 0 to 10',
    example: '2',
    live: true,
  }),
  rrlPrefix: option<RatePrefix>({
    name: 'rrl-prefix',
    form: 'text',
    placeholder: 'IPV4/IPV6',
    describe: 'bits of the networks that the limit counts, of IPv4 and of IPv6',
    schema: parsedBy(parseRatePrefix),
    fallback: { ipv4Bits: 24, ipv6Bits: 56 },
    defaultText: '24/56',
    expects: 'two numbers of bits, from 1 to 32 and from 1 to 128',
    example: '24/56',
    live: true,
  }),
  rrlExempt: option<readonly Cidr[]>({
    name: 'rrl-exempt',
    form: 'list',
    placeholder: 'CIDR',
    describe: 'clients without the limit; repeatable',
    schema: listOf(parsedBy(parseCidr)),
    fallback: DEFAULT_RECURSION_RANGES,
    defaultText: 'loopback and private ranges',
    expects: 'an address range',
    example: '10.0.0.0/8',
    live: true,
  }),
};
