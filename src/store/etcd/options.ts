/** The options of the etcd store, and the target that they give after all checks. */
import { StoreError } from '../store.ts';
import type { Login } from './cluster.ts';

const SCHEME = /^(https?):\/\//;
const DEFAULT_PORT = 2379;

/** How to reach an etcd cluster. Only `endpoints` is required. */
export interface EtcdOptions {
  /** `host:port`, `http://host:port` or `https://host:port`; either all with TLS or all without. */
  readonly endpoints: readonly string[];
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  /** PEM. `ca` absent: the system's CAs. `cert` and `key` are the client's certificate. */
  readonly tls?: { ca?: Buffer; cert?: Buffer; key?: Buffer } | undefined;
  /** Allows user and password without TLS. */
  readonly allowPlaintextAuth?: boolean | undefined;
  readonly callTimeoutMs?: number | undefined;
  /** The deadline of one page of a snapshot. */
  readonly pageTimeoutMs?: number | undefined;
  /** The client notices a dead connection after the sum of both. etcd refuses pings closer than 5 s by default. */
  readonly keepaliveTimeMs?: number | undefined;
  readonly keepaliveTimeoutMs?: number | undefined;
  /**
   * After this long without a message, a watch requests a sign of life; it ends if none arrives within the same time
   * again.
   */
  readonly watchSilenceMs?: number | undefined;
}

/** The checked options. */
export interface EtcdTarget {
  /** Each `host:port`; at least one. */
  readonly addresses: readonly string[];
  /** Undefined: plain text. */
  readonly tls: EtcdOptions['tls'];
  readonly login: Login | undefined;
}

/** Throws StoreError `invalid` when the options contradict each other. */
export function etcdTargetOf(options: EtcdOptions): EtcdTarget {
  const secure = options.endpoints.filter((endpoint) => isSecure(endpoint, options)).length;
  if (options.endpoints.length === 0) throw new StoreError('invalid', 'no etcd endpoint given');
  if (secure > 0 && secure < options.endpoints.length) {
    throw new StoreError('invalid', 'etcd endpoints with TLS and without cannot be mixed');
  }
  const tls = secure > 0 ? (options.tls ?? {}) : undefined;
  if ((tls?.cert === undefined) !== (tls?.key === undefined)) {
    throw new StoreError(
      'invalid',
      'a client certificate needs its key, and a key its certificate',
    );
  }
  return { addresses: options.endpoints.map(addressOf), tls, login: loginOf(options, tls) };
}

function isSecure(endpoint: string, options: EtcdOptions): boolean {
  const scheme = SCHEME.exec(endpoint)?.[1];
  if (scheme === 'http' && options.tls !== undefined) {
    throw new StoreError('invalid', `${endpoint} is plain text, but TLS is configured`);
  }
  return scheme === 'https' || (scheme === undefined && options.tls !== undefined);
}

function addressOf(endpoint: string): string {
  const text = endpoint.replace(SCHEME, '').replace(/\/$/, '');
  const url = URL.canParse(`etcd://${text}`) ? new URL(`etcd://${text}`) : undefined;
  if (url === undefined || url.hostname === '' || url.username !== '' || url.pathname !== '') {
    throw new StoreError('invalid', 'an etcd endpoint is host:port');
  }
  return `${url.hostname}:${url.port || DEFAULT_PORT}`;
}

function loginOf(options: EtcdOptions, tls: EtcdOptions['tls']): Login | undefined {
  const { user, password } = options;
  if (user === undefined && password === undefined) return undefined;
  if (user === undefined || password === undefined) {
    throw new StoreError('invalid', 'etcd user and password go together');
  }
  if (tls === undefined && options.allowPlaintextAuth !== true) {
    throw new StoreError('invalid', 'etcd user and password would be sent in plain text: use TLS');
  }
  return { user, password };
}
