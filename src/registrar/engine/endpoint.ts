/**
 * Finds the engine's address: `--docker-host`, else what Docker's own command line uses, that is DOCKER_HOST,
 * DOCKER_CONTEXT, the current context of its config.json, or the local socket. A mistake is returned, not thrown, and
 * names the setting and the fix. Pure: the caller reads files.
 */
import { createHash } from 'node:crypto';
import { asObject, parseJson } from './json.ts';

export interface EngineTls {
  /** PEM; undefined for the system's authorities. */
  readonly ca: string | undefined;
  /** The client's certificate and its key, PEM. */
  readonly client: { readonly cert: string; readonly key: string } | undefined;
}

export type EngineEndpoint =
  | { readonly kind: 'unix'; readonly path: string }
  /** `host` is a name or an address, IPv6 without brackets. */
  | {
      readonly kind: 'tcp';
      readonly host: string;
      readonly port: number;
      readonly tls: EngineTls | undefined;
    };

export interface EndpointMistake {
  /** The option, variable or file with the mistake. */
  readonly setting: string;
  /** The mistake and its fix in one line. */
  readonly reason: string;
}

export type EndpointResult =
  | { readonly kind: 'endpoint'; readonly endpoint: EngineEndpoint }
  | { readonly kind: 'mistake'; readonly mistake: EndpointMistake };

type Env = Readonly<Record<string, string | undefined>>;
/** Returns a file's text; `undefined` if the file cannot be read. */
type ReadTextFile = (path: string) => string | undefined;

const DEFAULT_SOCKET = '/var/run/docker.sock';
const PLAIN_PORT = 2375;
const TLS_PORT = 2376;

/** Resolves the engine's address. An empty text counts as unset. */
export function resolveEndpoint(
  dockerHost: string | undefined,
  env: Env,
  readFile: ReadTextFile,
): EndpointResult {
  if (dockerHost) return fromHost(dockerHost, '--docker-host', tlsOfEnv(env, readFile));
  if (env.DOCKER_HOST) {
    return fromHost(env.DOCKER_HOST, 'DOCKER_HOST', tlsOfEnv(env, readFile));
  }
  if (env.DOCKER_CONTEXT) {
    return fromContext(env.DOCKER_CONTEXT, 'DOCKER_CONTEXT', env, readFile);
  }
  const path = `${configFolder(env)}/config.json`;
  const text = readFile(path);
  if (text === undefined) return endpointResult({ kind: 'unix', path: DEFAULT_SOCKET });
  const config = parseJson(text);
  if (config === undefined)
    return endpointMistake(path, 'is not JSON; repair it, or set --docker-host');
  const name = asObject(config).currentContext;
  if (typeof name !== 'string' || name === '') {
    return endpointResult({ kind: 'unix', path: DEFAULT_SOCKET });
  }
  return fromContext(name, `currentContext in ${path}`, env, readFile);
}

/** For logs and messages. */
export function endpointLabel(endpoint: EngineEndpoint): string {
  if (endpoint.kind === 'unix') return `unix://${endpoint.path}`;
  const host = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host;
  return `tcp://${host}:${endpoint.port}${endpoint.tls === undefined ? '' : ' (TLS)'}`;
}

type TlsResult =
  | { readonly kind: 'tls'; readonly tls: EngineTls | undefined }
  | { readonly kind: 'mistake'; readonly mistake: EndpointMistake };

/** `tlsFor` is called for TCP addresses only; `isRequired` is true if the address itself requires TLS. */
function fromHost(
  text: string,
  setting: string,
  tlsFor: (isRequired: boolean) => TlsResult,
): EndpointResult {
  if (text.startsWith('unix://')) return fromSocket(text.slice('unix://'.length), setting);
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase();
  switch (scheme) {
    case undefined:
      return text.startsWith('/')
        ? endpointMistake(setting, `"${text}" has no scheme; write unix://${text}`)
        : fromAddress(text, setting, tlsFor, false);
    case 'tcp':
    case 'http':
    case 'https':
      return fromAddress(text.slice(scheme.length + 3), setting, tlsFor, scheme === 'https');
    case 'ssh':
      return endpointMistake(
        setting,
        'ssh:// is not supported; forward the socket with "ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock HOST" and write unix:///tmp/docker.sock',
      );
    case 'npipe':
      return endpointMistake(
        setting,
        'Windows pipes are not supported; let the engine listen on TCP with TLS and write tcp://HOST:2376',
      );
    default:
      return endpointMistake(
        setting,
        `${scheme}:// is not supported; write unix:///PATH or tcp://HOST:PORT`,
      );
  }
}

function fromSocket(path: string, setting: string): EndpointResult {
  if (path === '') return endpointResult({ kind: 'unix', path: DEFAULT_SOCKET });
  if (path.startsWith('/')) return endpointResult({ kind: 'unix', path });
  return endpointMistake(
    setting,
    `"unix://${path}" is relative; write unix:///PATH, with three slashes`,
  );
}

function fromAddress(
  text: string,
  setting: string,
  tlsFor: (isRequired: boolean) => TlsResult,
  isHttps: boolean,
): EndpointResult {
  const [, bracketed, plain, portText] =
    /^(?:\[([0-9a-f:.]+)\]|([^\s:/@?#[\]]+))(?::(\d{1,5}))?\/?$/i.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = portText === undefined ? undefined : Number(portText);
  if (host === undefined || port === 0 || (port ?? 0) > 65_535) {
    return endpointMistake(setting, `"${text}" is not HOST:PORT; write tcp://HOST:${PLAIN_PORT}`);
  }
  const result = tlsFor(isHttps || port === TLS_PORT);
  if (result.kind === 'mistake') return result;
  const { tls } = result;
  const defaultPort = tls === undefined ? PLAIN_PORT : TLS_PORT;
  return endpointResult({ kind: 'tcp', host, port: port ?? defaultPort, tls });
}

/** Any text in DOCKER_TLS_VERIFY requires TLS, as in Docker's command line. soradns always verifies the certificate. */
function tlsOfEnv(env: Env, readFile: ReadTextFile): (isRequired: boolean) => TlsResult {
  return (isRequired) => {
    if (!isRequired && !env.DOCKER_TLS_VERIFY) return { kind: 'tls', tls: undefined };
    const folder = env.DOCKER_CERT_PATH;
    if (!folder) return tlsFrom(configFolder(env), 'DOCKER_CERT_PATH', readFile);
    if (readFile(`${folder}/ca.pem`) === undefined) {
      return endpointMistake('DOCKER_CERT_PATH', `${folder}/ca.pem cannot be read`);
    }
    return tlsFrom(folder, 'DOCKER_CERT_PATH', readFile);
  };
}

/** A client certificate is optional, but it needs its key. */
function tlsFrom(folder: string, setting: string, readFile: ReadTextFile): TlsResult {
  const [ca, cert, key] = ['ca', 'cert', 'key'].map((name) => readFile(`${folder}/${name}.pem`));
  if (cert !== undefined && key !== undefined) {
    return { kind: 'tls', tls: { ca, client: { cert, key } } };
  }
  if (cert === undefined && key === undefined) {
    return { kind: 'tls', tls: { ca, client: undefined } };
  }
  const missing = cert === undefined ? 'cert.pem' : 'key.pem';
  return endpointMistake(
    setting,
    `${folder}/${missing} cannot be read; a client certificate needs both cert.pem and key.pem`,
  );
}

/** Docker stores a context in a folder that is named by the hash of the context's name. */
function fromContext(
  name: string,
  setting: string,
  env: Env,
  readFile: ReadTextFile,
): EndpointResult {
  if (name === 'default') return endpointResult({ kind: 'unix', path: DEFAULT_SOCKET });
  const contexts = `${configFolder(env)}/contexts`;
  const hash = createHash('sha256').update(name).digest('hex');
  const path = `${contexts}/meta/${hash}/meta.json`;
  const text = readFile(path);
  if (text === undefined) {
    return endpointMistake(
      setting,
      `there is no context "${name}" (${path}); see "docker context ls"`,
    );
  }
  const docker = asObject(asObject(asObject(parseJson(text)).Endpoints).docker);
  const host = docker.Host;
  if (typeof host !== 'string' || host === '') {
    return endpointMistake(setting, `context "${name}" names no Docker host (${path})`);
  }
  if (docker.SkipTLSVerify === true) {
    return endpointMistake(
      setting,
      `context "${name}" does not verify the engine's certificate, which soradns always does; give the context a CA`,
    );
  }
  const folder = `${contexts}/tls/${hash}/docker`;
  return fromHost(host, `${setting}: context "${name}"`, (isRequired) => {
    const result = tlsFrom(folder, `${setting}: context "${name}"`, readFile);
    const isEmpty =
      result.kind === 'tls' && result.tls?.ca === undefined && result.tls?.client === undefined;
    return isEmpty && !isRequired ? { kind: 'tls', tls: undefined } : result;
  });
}

function configFolder(env: Env): string {
  return env.DOCKER_CONFIG || `${env.HOME ?? ''}/.docker`;
}

function endpointResult(endpoint: EngineEndpoint): EndpointResult {
  return { kind: 'endpoint', endpoint };
}

function endpointMistake(
  setting: string,
  reason: string,
): { readonly kind: 'mistake'; readonly mistake: EndpointMistake } {
  return { kind: 'mistake', mistake: { setting, reason } };
}
