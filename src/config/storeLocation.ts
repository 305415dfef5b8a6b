/**
 * The location of a store, from `--store` or from SkyDNS's `--machines`: the kind of store, its address, and the
 * credentials from other options.
 */
import { isLoopbackAddress } from '../dns/address.ts';
import type { OptionValues } from './options/option.ts';
import type { SERVE_OPTIONS } from './options/serveOptions.ts';
import type { STORE_OPTIONS } from './options/storeOptions.ts';
import { Secret } from './options/valueForms.ts';
import { EXPOSED, type Origin, type Origins } from './settings.ts';

export interface EtcdLocation {
  readonly kind: 'etcd';
  /** All `http://host:port` or, with TLS, all `https://host:port`. */
  readonly endpoints: readonly string[];
  readonly user: string | undefined;
  readonly password: Secret | undefined;
  /** For `etcds://`. Without a path: the system's CAs, or no client certificate. */
  readonly tls:
    | {
        readonly caFile: string | undefined;
        readonly certFile: string | undefined;
        readonly keyFile: string | undefined;
      }
    | undefined;
}

export type StoreLocation =
  | { readonly kind: 'memory' }
  | { readonly kind: 'file'; readonly directory: string }
  | EtcdLocation
  /** `url` is an origin, without a path. */
  | { readonly kind: 'http'; readonly url: string; readonly token: Secret | undefined };

export interface StoreCredentials {
  readonly user: string | undefined;
  readonly password: Secret | undefined;
  readonly token: Secret | undefined;
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  /** Whether a password may be sent unencrypted. */
  readonly plainPassword: boolean;
}

export type StoreLocationResult =
  | { readonly kind: 'location'; readonly location: StoreLocation }
  /** `option` is the option at fault if it is not `--store`; `problem` includes the fix. */
  | { readonly kind: 'mistake'; readonly option?: string; readonly problem: string };

const FORMS = 'memory:, file:DIR, etcd://HOST:PORT[,HOST:PORT], etcds://… or http://HOST:PORT';

/** A location from a `--store` text and the credentials that other options give. */
function parseStoreLocation(
  text: string,
  credentials: StoreCredentials,
  makeSecret: (text: string) => Secret,
): StoreLocationResult {
  const [, scheme = '', rest = ''] = /^([a-z]+):(.*)$/s.exec(text) ?? [];
  switch (scheme) {
    case 'memory':
      return rest === ''
        ? { kind: 'location', location: { kind: 'memory' } }
        : mistake('memory: takes nothing after the colon; write --store memory:');
    case 'file': {
      const directory = rest.replace(/^\/\/(?=\/)/, '');
      return directory === ''
        ? mistake('no directory; write --store file:/var/lib/soradns')
        : { kind: 'location', location: { kind: 'file', directory } };
    }
    case 'etcd':
    case 'etcds':
      return etcdLocation(scheme, rest, credentials, makeSecret);
    case 'http':
    case 'https':
      return httpLocation(text, credentials);
    default:
      return mistake(`${JSON.stringify(withoutPassword(text))} is not a store; write ${FORMS}`);
  }
}

/** A location from SkyDNS's `--machines`: URLs of etcd's members, all http or all https. */
function parseMachines(
  machines: readonly string[],
  credentials: StoreCredentials,
): StoreLocationResult {
  const urls = machines.map((machine) => /^(https?):\/\/([^/@]+)\/?$/.exec(machine.trim()));
  const schemes = new Set(urls.map((url) => url?.[1]));
  if (schemes.has(undefined))
    return mistake(
      'every machine must be a URL; write --machines http://10.0.0.1:2379,http://10.0.0.2:2379',
    );
  if (schemes.size !== 1) return mistake('mixes http and https; use one of them for all');
  const hosts = urls.map((url) => url?.[2] ?? '');
  return checkedEtcd(schemes.has('https'), hosts, credentials);
}

function etcdLocation(
  scheme: 'etcd' | 'etcds',
  rest: string,
  credentials: StoreCredentials,
  makeSecret: (text: string) => Secret,
): StoreLocationResult {
  const match = /^\/\/(?:([^@/]*)@)?([^@/]+)\/?$/.exec(rest);
  if (match === null)
    return mistake(`no addresses; write --store ${scheme}://10.0.0.1:2379,10.0.0.2:2379`);
  const [user, password] = (match[1] ?? '').split(/:(.*)/s).map(decodePercent);
  const own = {
    ...credentials,
    ...(user ? { user } : {}),
    ...(password ? { password: makeSecret(password) } : {}),
  };
  return checkedEtcd(scheme === 'etcds', (match[2] ?? '').split(','), own);
}

function checkedEtcd(
  encrypted: boolean,
  hosts: readonly string[],
  { user, password, caFile, certFile, keyFile, plainPassword }: StoreCredentials,
): StoreLocationResult {
  const endpoints: string[] = [];
  for (const host of hosts) {
    const endpoint = parseHostPort(host.trim());
    if (endpoint === undefined)
      return mistake(`${JSON.stringify(host)} is not a HOST:PORT; write for example 10.0.0.1:2379`);
    endpoints.push(`${encrypted ? 'https' : 'http'}://${endpoint}`);
  }
  if ((user === undefined) !== (password === undefined))
    return mistake(
      'needs both a user and a password; give --username and --password-file',
      '--username',
    );
  if ((certFile === undefined) !== (keyFile === undefined))
    return mistake('needs both a certificate and a key; give --tls-pem and --tls-key', '--tls-pem');
  if (!encrypted && (caFile ?? certFile) !== undefined)
    return mistake('certificates need TLS; write --store etcds://… (or --machines https://…)');
  const exposed = hosts
    .map(hostOf)
    .some((host) => host !== 'localhost' && !isLoopbackAddress(host));
  if (password !== undefined && !encrypted && exposed && !plainPassword)
    return mistake(
      'would send the password unencrypted; use etcds://, or allow it with --plain-password',
    );
  const tls = encrypted ? { caFile, certFile, keyFile } : undefined;
  return { kind: 'location', location: { kind: 'etcd', endpoints, user, password, tls } };
}

function httpLocation(text: string, { token }: StoreCredentials): StoreLocationResult {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.hostname === '')
    return mistake(
      `${JSON.stringify(withoutPassword(text))} is not a URL; write --store http://127.0.0.1:4001`,
    );
  if (url.username !== '' || url.password !== '')
    return mistake('the URL must not contain a user; give the token with --token-file');
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '')
    return mistake(`the URL must not contain a path; write --store ${url.origin}`);
  return { kind: 'location', location: { kind: 'http', url: url.origin, token } };
}

/** `host:port` as in a URL; undefined for anything else. */
function parseHostPort(text: string): string | undefined {
  const match = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  return match !== null && port >= 1 && port <= 65535 ? text : undefined;
}

/** The host of a `host:port`, without brackets. */
function hostOf(hostPort: string): string {
  return hostPort
    .trim()
    .replace(/:[0-9]*$/, '')
    .replace(/^\[|\]$/g, '');
}

/** Whether a `--store` text contains a password. */
function holdsPassword(text: string): boolean {
  return /\/\/[^@/:]*:[^@/]+@/.test(text);
}

/** The text without credentials, for messages. */
export function withoutPassword(text: string): string {
  return text.replace(/\/\/[^@/]*@/, '//…@');
}

function decodePercent(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function mistake(problem: string, option?: string): StoreLocationResult {
  return option === undefined ? { kind: 'mistake', problem } : { kind: 'mistake', option, problem };
}

export type ChosenStore =
  | { readonly kind: 'store'; readonly store: StoreLocation }
  | { readonly kind: 'mistake'; readonly mistake: string };

type ServerRows = typeof STORE_OPTIONS & Pick<typeof SERVE_OPTIONS, 'machines'>;

/** The store of `--store` or `--machines`, whichever source has precedence; `fallback` without both. */
export function chooseStore(
  settings: OptionValues<ServerRows>,
  { machines: machinesOrigin, storeText: storeOrigin }: Origins<ServerRows>,
  fallback: string,
): ChosenStore {
  const { machines } = settings;
  if (machines === undefined || precedence(machinesOrigin) < precedence(storeOrigin)) {
    return storeOf(settings, storeOrigin, fallback);
  }
  if (precedence(machinesOrigin) > precedence(storeOrigin)) {
    return chosen(parseMachines(machines, credentialsOf(settings)), '--machines');
  }
  return {
    kind: 'mistake',
    mistake: '--machines: means the same as --store; give one of them',
  };
}

/** The store of `--store`, or of `fallback`. */
export function storeOf(
  settings: OptionValues<typeof STORE_OPTIONS>,
  origin: Origin,
  fallback: string,
): ChosenStore {
  const text = settings.storeText ?? fallback;
  if (origin === 'flag' && holdsPassword(text)) {
    const fix = 'give --username USER and --password-file FILE, or the variable SORADNS_STORE';
    return { kind: 'mistake', mistake: `--store: ${EXPOSED} with the password in it; ${fix}` };
  }
  const location = parseStoreLocation(text, credentialsOf(settings), (s) => new Secret(s));
  return chosen(location, '--store');
}

function chosen(result: StoreLocationResult, option: string): ChosenStore {
  if (result.kind === 'location') return { kind: 'store', store: result.location };
  return { kind: 'mistake', mistake: `${result.option ?? option}: ${result.problem}` };
}

function credentialsOf(settings: OptionValues<typeof STORE_OPTIONS>) {
  return { ...settings, user: settings.username };
}

function precedence(origin: Origin): number {
  return ['default', 'file', 'environment', 'flag'].indexOf(origin);
}
