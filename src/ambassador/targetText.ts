/**
 * Targets and routes as text: `6379=redis.production.east.skydns.local`, `127.0.0.1:53/udp=10.0.0.2:53,10.0.0.3:53`. The
 * text comes from command lines, variables and labels of containers, so nothing here throws, and the work is bounded.
 */
import { canonicalAddress, printSocketAddress } from '../dns/address.ts';
import { foldName, type Name, parseName, printName } from '../dns/name.ts';
import type { ListenAddress, Target, TargetEndpoint, TargetHost } from './route.ts';

export type ParsedTarget =
  | { readonly kind: 'target'; readonly target: Target }
  /** Completes the sentence that the text begins. */
  | { readonly kind: 'mistake'; readonly problem: string };

export type ParsedRoute =
  | { readonly kind: 'route'; readonly listen: ListenAddress; readonly target: Target }
  | { readonly kind: 'mistake'; readonly problem: string };

/** Whether a folded name is a service of ours, which the store knows, and not a host outside. */
export type IsOurs = (name: Name) => boolean;

/** A limit against hostile metadata. */
const MAX_TEXT = 4_096;
const MAX_ENDPOINTS = 256;
/** The longest path of a Unix socket, without its NUL (unix(7)). */
const MAX_SOCKET_PATH_OCTETS = 107;

/** A route from `[LISTEN=]BACKEND`; without LISTEN it listens on the backend's port. */
export function parseRoute(text: string, isOurs: IsOurs): ParsedRoute {
  const at = text.indexOf('=');
  const parsed = parseTarget(text.slice(at + 1), isOurs);
  if (parsed.kind === 'mistake') return parsed;
  const { target } = parsed;
  if (at < 0) return listenAtItsPort(target);
  const listen = parseListen(text.slice(0, at));
  if (listen === undefined) {
    return mistake('does not begin with a PORT, IP:PORT, PORT/udp or /PATH before the =');
  }
  return { kind: 'route', listen, target };
}

function listenAtItsPort(target: Target): ParsedRoute {
  const ports = new Set(portsOf(target));
  const [port] = ports;
  if (port === undefined || ports.size > 1)
    return mistake('does not say on which port to listen: write PORT= before it');
  return {
    kind: 'route',
    listen: { kind: 'port', address: undefined, port, protocol: 'tcp' },
    target,
  };
}

function portsOf(target: Target): readonly number[] {
  switch (target.kind) {
    case 'endpoints':
      return target.endpoints.map(({ port }) => port);
    case 'service':
    case 'virtualPort':
      return target.port === undefined ? [] : [target.port];
    case 'key':
      return [];
  }
}

/** `6379`, `53/udp`, `127.0.0.1:6379`, `[::1]:53/udp`, `/run/redis.sock`; `undefined` for other text. */
export function parseListen(text: string): ListenAddress | undefined {
  if (text.startsWith('/')) {
    const isUsable = Buffer.byteLength(text) <= MAX_SOCKET_PATH_OCTETS && !/\p{Cc}/u.test(text);
    return isUsable ? { kind: 'unix', path: text } : undefined;
  }
  const [, v6, v4, digits, protocol = 'tcp'] =
    /^(?:(?:\[([^\]]+)\]|([0-9.]+)):)?([0-9]{1,5})(?:\/(tcp|udp))?$/.exec(text) ?? [];
  const port = portOf(digits);
  if (port === undefined) return undefined;
  const host = v6 ?? v4;
  const address = host === undefined ? undefined : canonicalAddress(host)?.address;
  if (host !== undefined && address === undefined) return undefined;
  return { kind: 'port', address, port, protocol: protocol === 'udp' ? 'udp' : 'tcp' };
}

export function printListen(listen: ListenAddress): string {
  if (listen.kind === 'unix') return listen.path;
  const { address, port, protocol } = listen;
  const where = address === undefined ? `${port}` : printSocketAddress({ address, port });
  return protocol === 'tcp' ? where : `${where}/${protocol}`;
}

/** A BACKEND: `IP:PORT[,IP:PORT]`, `NAME:PORT`, `NAME`, `etcd://HOST:PORT/KEY`. */
export function parseTarget(text: string, isOurs: IsOurs): ParsedTarget {
  if (text === '') return mistake('names no backend');
  if (text.length > MAX_TEXT) return mistake(`is longer than ${MAX_TEXT} characters`);
  if (text.includes('://')) return parseKeyTarget(text);
  const parts = text.split(',');
  if (parts.length > MAX_ENDPOINTS) return mistake(`lists more than ${MAX_ENDPOINTS} backends`);
  const [first = ''] = parts;
  const single = parts.length === 1 ? parseServiceTarget(first, isOurs) : undefined;
  if (single !== undefined) return { kind: 'target', target: single };
  const endpoints: TargetEndpoint[] = [];
  for (const part of parts) {
    const endpoint = parseEndpoint(part.trim());
    if (endpoint === undefined) return mistake(whyNoEndpoint(part.trim()));
    endpoints.push(endpoint);
  }
  return { kind: 'target', target: { kind: 'endpoints', endpoints } };
}

/** A name without a port, or a name of ours with the port of its containers. */
function parseServiceTarget(text: string, isOurs: IsOurs): Target | undefined {
  const { host, port } = splitPort(text);
  const name = hostName(host);
  if (name === undefined || (port !== undefined && !isOurs(name))) return undefined;
  return { kind: 'service', name, port };
}

function parseEndpoint(text: string): TargetEndpoint | undefined {
  const { host, port } = splitPort(text);
  const target = port === undefined ? undefined : parseHost(host);
  return target === undefined || port === undefined ? undefined : { host: target, port };
}

function parseHost(text: string): TargetHost | undefined {
  const [, inner = text] = /^\[(.*)\]$/.exec(text) ?? [];
  const address = canonicalAddress(inner)?.address;
  if (address !== undefined) return { kind: 'address', address };
  const name = hostName(text);
  return name === undefined ? undefined : { kind: 'name', name };
}

function splitPort(text: string): { readonly host: string; readonly port: number | undefined } {
  const [, host, digits] = /^(.*):([0-9]{1,5})$/s.exec(text) ?? [];
  const port = portOf(digits);
  return host === undefined || port === undefined
    ? { host: text, port: undefined }
    : { host, port };
}

/** A folded host name with a letter in its last label, so that a mistyped address is none. */
function hostName(text: string): Name | undefined {
  if (!/^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$/.test(text)) return undefined;
  const name = parseName(text);
  if (name === undefined || name.length === 0 || !/[a-z]/i.test(name.at(-1) ?? ''))
    return undefined;
  return foldName(name);
}

function whyNoEndpoint(text: string): string {
  const { host, port } = splitPort(text);
  if (port === undefined && parseHost(host) !== undefined) return 'has no port: write ADDRESS:PORT';
  return 'is not IP:PORT, NAME:PORT, NAME or etcd://HOST:PORT/KEY';
}

function parseKeyTarget(text: string): ParsedTarget {
  const [, scheme = '', hosts = '', path = ''] = /^([a-z]+):\/\/([^/]*)(\/.*)?$/s.exec(text) ?? [];
  if (scheme === 'consul')
    return mistake("leads to Consul's key store, which is not supported: write the service's name");
  if (scheme !== 'etcd' && scheme !== 'etcds')
    return mistake('is not IP:PORT, NAME:PORT, NAME or etcd://HOST:PORT/KEY');
  const key = path.replace(/\/+$/, '');
  const isUsable = /^[A-Za-z0-9.:,[\]_-]+$/.test(hosts) && !/\p{Cc}/u.test(key) && key !== '';
  if (!isUsable)
    return mistake(`has no usable key: write ${scheme}://10.0.0.1:2379/services/redis`);
  return { kind: 'target', target: { kind: 'key', store: `${scheme}://${hosts}`, key } };
}

export function printRouteTarget(target: Target): string {
  switch (target.kind) {
    case 'endpoints':
      return target.endpoints.map(printEndpoint).join(',');
    case 'service':
    case 'virtualPort': {
      const name = printName(target.name).slice(0, -1);
      return target.port === undefined ? name : `${name}:${target.port}`;
    }
    case 'key':
      return `${target.store}${target.key}`;
  }
}

function printEndpoint({ host, port }: TargetEndpoint): string {
  return host.kind === 'address'
    ? printSocketAddress({ address: host.address, port })
    : `${printName(host.name).slice(0, -1)}:${port}`;
}

/**
 * The endpoints that a value of a key names: `{"host":"10.0.0.1","port":6379}` (nsproxy, and every service of ours), or
 * `10.0.0.1:6379`, or several of these with commas (ambassadord). Empty for any other value.
 */
export function parseKeyValue(text: string): readonly TargetEndpoint[] {
  if (text.length > MAX_TEXT) return [];
  if (text.trimStart().startsWith('{')) return endpointOfJson(text);
  const endpoints = text.split(',').map((part) => parseEndpoint(part.trim()));
  return endpoints.flatMap((endpoint) => endpoint ?? []).slice(0, MAX_ENDPOINTS);
}

function endpointOfJson(text: string): readonly TargetEndpoint[] {
  try {
    const { host, port } = JSON.parse(text) as { readonly host?: unknown; readonly port?: unknown };
    const target = typeof host === 'string' ? parseHost(host) : undefined;
    const number =
      typeof port === 'number' || typeof port === 'string' ? portOf(`${port}`) : undefined;
    return target === undefined || number === undefined ? [] : [{ host: target, port: number }];
  } catch {
    return [];
  }
}

function portOf(digits: string | undefined): number | undefined {
  const port = digits !== undefined && /^[0-9]{1,5}$/.test(digits) ? Number(digits) : 0;
  return port >= 1 && port <= 65_535 ? port : undefined;
}

function mistake(problem: string): { readonly kind: 'mistake'; readonly problem: string } {
  return { kind: 'mistake', problem };
}
