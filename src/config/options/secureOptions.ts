/** The option rows for DNS over TLS and over HTTPS. */
import { parseSocketAddress, type SocketAddress } from '../../dns/address.ts';
import { type Cidr, parseCidr } from '../../forward/addresses.ts';
import { option } from './option.ts';
import { filePath, listOf, parsedBy, wholeNumberValue } from './valueForms.ts';

const listening = {
  form: 'list',
  placeholder: 'IP:PORT',
  schema: listOf(parsedBy((text) => parseSocketAddress(text))),
  fallback: [],
  defaultText: 'off',
  expects: 'an IP:PORT',
} as const;

const file = {
  form: 'text',
  placeholder: 'FILE',
  schema: filePath,
  fallback: undefined,
  expects: 'a file',
} as const;

/** A path as clients send it: no query, and nothing that a proxy would change. */
function parseHttpPath(text: string): string | undefined {
  return /^(?:\/[A-Za-z0-9._~-]+)+$/.test(text) ? text : undefined;
}

export const SECURE_OPTIONS = {
  dot: option<readonly SocketAddress[]>({
    ...listening,
    name: 'dot',
    describe: 'address to answer DNS over TLS on; repeatable',
    example: '10.0.0.1:853',
  }),
  doh: option<readonly SocketAddress[]>({
    ...listening,
    name: 'doh',
    describe: 'address to answer DNS over HTTPS on; repeatable',
    example: '10.0.0.1:443',
  }),
  dohPlain: option<readonly SocketAddress[]>({
    ...listening,
    name: 'doh-plain',
    describe: 'address to answer DNS over HTTP on, for a reverse proxy with TLS; repeatable',
    example: '127.0.0.1:8053',
  }),
  dohPath: option<string>({
    name: 'doh-path',
    form: 'text',
    placeholder: 'PATH',
    describe: 'path of DNS over HTTPS',
    schema: parsedBy(parseHttpPath),
    fallback: '/dns-query',
    defaultText: '/dns-query',
    expects: 'a path',
    example: '/dns-query',
  }),
  trustedProxies: option<readonly Cidr[]>({
    name: 'trusted-proxy',
    form: 'list',
    placeholder: 'CIDR',
    describe: 'reverse proxies whose X-Forwarded-For names the client of --doh-plain; repeatable',
    schema: listOf(parsedBy(parseCidr)),
    fallback: [],
    defaultText: 'none',
    expects: 'an address range',
    example: '127.0.0.1',
  }),
  serverCertFile: option<string | undefined>({
    ...file,
    name: 'server-cert',
    describe: 'certificate of --dot and --doh with its chain, in PEM; read again when it changes',
    example: '/etc/soradns/fullchain.pem',
  }),
  serverKeyFile: option<string | undefined>({
    ...file,
    name: 'server-key',
    describe: 'key of --server-cert, in PEM',
    example: '/etc/soradns/privkey.pem',
  }),
  tlsConnections: option<number>({
    name: 'tls-connections',
    form: 'text',
    placeholder: 'NUMBER',
    describe:
      'most connections of --dot, and of --doh and --doh-plain each, that are open at a time',
    schema: wholeNumberValue(1, 100_000),
    fallback: 1_000,
    defaultText: '1000',
    expects: 'a whole number from 1 to 100000',
    example: '1000',
  }),
};

type SecureSettings = {
  readonly [Field in 'dot' | 'doh' | 'dohPlain' | 'trustedProxies']: readonly unknown[];
} & {
  readonly serverCertFile: string | undefined;
  readonly serverKeyFile: string | undefined;
};

/** Options without those that they need. */
export function secureMistakes(settings: SecureSettings): readonly string[] {
  const { dot, doh, dohPlain, trustedProxies, serverCertFile, serverKeyFile } = settings;
  const needed = dot.length > 0 ? '--dot' : doh.length > 0 ? '--doh' : undefined;
  const hasPair = serverCertFile !== undefined && serverKeyFile !== undefined;
  const hasHalf = !hasPair && (serverCertFile ?? serverKeyFile) !== undefined;
  return [
    ...(needed !== undefined && !hasPair && !hasHalf
      ? [`${needed}: needs --server-cert and --server-key as well`]
      : []),
    ...(hasHalf && serverKeyFile === undefined
      ? ['--server-cert: needs --server-key as well']
      : []),
    ...(hasHalf && serverCertFile === undefined
      ? ['--server-key: needs --server-cert as well']
      : []),
    ...(trustedProxies.length > 0 && dohPlain.length === 0
      ? ['--trusted-proxy: needs --doh-plain as well']
      : []),
  ];
}
