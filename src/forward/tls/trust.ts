/**
 * Which certificates of upstreams are trusted: those that the CAs of `--upstream-ca`, or else of this system, have signed,
 * and that are for the name or the address that the operator gave (RFC 8310 §8.1, the strict profile). Node has CAs of its
 * own; it uses them only where the system has none, because an operator adds a company's CA to the system's.
 */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { ConnectionOptions, SecureContext, TLSSocket } from 'node:tls';

/** An upstream that is reached over TLS only. */
export interface TlsUpstream {
  readonly address: string;
  readonly port: number;
  /** The domain name or IP address that its certificate must have. */
  readonly tlsName: string;
}

/** Where distributions keep the CAs that the system trusts, in one file. */
const SYSTEM_CA_FILES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/** The CAs of this system in PEM; `undefined` if it has none. */
function systemCas(): string | undefined {
  for (const path of SYSTEM_CA_FILES) {
    try {
      return readFileSync(path, 'latin1');
    } catch {
      // Another distribution.
    }
  }
  return undefined;
}

/** The settings that the connections of all upstreams share: parsing the CAs takes milliseconds. */
export class Trust {
  readonly #caPem: string | undefined;
  #context: SecureContext | undefined;

  /** `caPem` are certificates in PEM; undefined: the system's. */
  constructor(caPem: string | undefined) {
    this.#caPem = caPem;
  }

  /**
   * The options of a connection that ends with an error unless the upstream is authenticated. Throws if no certificate can
   * be read.
   */
  optionsFor(upstream: TlsUpstream, session: Buffer | undefined): ConnectionOptions {
    const { address, port, tlsName } = upstream;
    const tls = process.getBuiltinModule('node:tls');
    this.#context ??= tls.createSecureContext({
      ca: this.#caPem ?? systemCas(),
      minVersion: 'TLSv1.2',
    });
    return {
      host: address,
      port,
      secureContext: this.#context,
      rejectUnauthorized: true,
      // RFC 6066 §3: no address is sent as a server name.
      servername: isIP(tlsName) === 0 ? tlsName : '',
      checkServerIdentity: (_host, certificate) => tls.checkServerIdentity(tlsName, certificate),
      ...(session !== undefined && { session }),
    };
  }
}

/**
 * Whether the connection failed because the upstream's certificate is not trusted. Node reports OpenSSL's verdict as
 * `code`, and a wrong name as ERR_TLS_CERT_ALTNAME_INVALID.
 */
export function isUntrusted(socket: TLSSocket, error: NodeJS.ErrnoException): boolean {
  // Not null, although its type says so, once the handshake has failed the verification.
  const verdict: unknown = socket.authorizationError;
  return Boolean(verdict) || error.code === 'ERR_TLS_CERT_ALTNAME_INVALID';
}
