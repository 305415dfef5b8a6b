/** Reads certificates and keys in PEM, and says which option names a file that is not what it should be. */
import type { Config } from '../../config/config.ts';
import type { EtcdLocation } from '../../config/storeLocation.ts';
import type { CertificateFiles, CertificatePair, ReadPair } from '../../server/tls/certificate.ts';
import { Failure } from './failure.ts';

/** PEM; a member is present if the options name its file. */
export interface TlsCredentials {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

const PAIR_HINT = 'give a certificate and its own key, unencrypted, in PEM';

/** The files of an etcd client. Throws a `Failure` that names the option at fault. */
export function readTls({
  caFile,
  certFile,
  keyFile,
}: NonNullable<EtcdLocation['tls']>): TlsCredentials {
  const tls = {
    ...readPem('ca', '--ca-cert', caFile, 'certificate'),
    ...readPem('cert', '--tls-pem', certFile, 'certificate'),
    ...readPem('key', '--tls-key', keyFile, 'private key'),
  };
  const options = { all: '--ca-cert, --tls-pem, --tls-key', key: '--tls-key' };
  tryTls(tls, options, { certFile, keyFile });
  return tls;
}

/** The CAs of `--upstream-ca`, in PEM. Throws a `Failure` if OpenSSL cannot read them. */
export function readUpstreamCa(path: string): string {
  const option = '--upstream-ca';
  const ca = readPemFile(option, path, 'certificate').toString('latin1');
  const problemOf = (message: string) => `${option}: OpenSSL cannot use ${path} (${message})`;
  usable(() => newContext({ ca }), problemOf, 'give certificates in PEM');
  return ca;
}

/**
 * The pair that the options name; undefined if they name none. Throws a `Failure` if it cannot be used.
 */
export function readServerPair({
  serverCertFile: certFile,
  serverKeyFile: keyFile,
}: Pick<Config, 'serverCertFile' | 'serverKeyFile'>): CertificatePair | undefined {
  if (certFile === undefined || keyFile === undefined) return undefined;
  return readUsablePair({ certFile, keyFile });
}

/** Reads and tries a server's pair. Never throws. */
export function readPair(files: CertificateFiles): ReadPair {
  try {
    return { kind: 'pair', pair: readUsablePair(files) };
  } catch (error) {
    return { kind: 'unusable', problem: (error as Error).message };
  }
}

function readUsablePair(files: CertificateFiles): CertificatePair {
  const cert = readPemFile('--server-cert', files.certFile, 'certificate');
  const key = readPemFile('--server-key', files.keyFile, 'private key');
  const options = { all: '--server-cert, --server-key', key: '--server-key' };
  tryTls({ cert, key }, options, files);
  const { X509Certificate } = process.getBuiltinModule('node:crypto');
  const leaf = usable(
    () => new X509Certificate(cert),
    (message) => `--server-cert: OpenSSL cannot use ${files.certFile} (${message})`,
    PAIR_HINT,
  );
  const { subjectAltName = '', validTo } = leaf;
  const names = subjectAltName
    .split(', ')
    .flatMap((name) => (name.startsWith('DNS:') ? [name.slice('DNS:'.length)] : []));
  return { cert, key, names, expiresUnixSeconds: Date.parse(validTo) / 1000 };
}

/** Before any connection needs them. Throws a `Failure` that names the options. */
function tryTls(
  tls: TlsCredentials,
  options: { readonly all: string; readonly key: string },
  { certFile, keyFile }: { readonly [File in keyof CertificateFiles]?: string | undefined },
): void {
  const problemOf = (message: string): string =>
    // "key values mismatch", or "key type mismatch".
    /mismatch/i.test(message)
      ? `${options.key}: ${keyFile} is not the key of ${certFile}`
      : `${options.all}: OpenSSL cannot use them (${message})`;
  usable(() => newContext(tls), problemOf, PAIR_HINT);
}

/** What `use` returns. Throws a `Failure` in place of OpenSSL's error. */
function usable<T>(use: () => T, problemOf: (message: string) => string, hint: string): T {
  try {
    return use();
  } catch (error) {
    throw new Failure('usage', problemOf((error as Error).message), hint);
  }
}

function newContext(options: { readonly [F in keyof TlsCredentials]?: Buffer | string }): void {
  // An import would load all root certificates.
  process.getBuiltinModule('node:tls').createSecureContext(options);
}

function readPem(
  field: keyof TlsCredentials,
  option: string,
  path: string | undefined,
  content: 'certificate' | 'private key',
): { readonly [F in keyof TlsCredentials]?: Buffer } {
  return path === undefined ? {} : { [field]: readPemFile(option, path, content) };
}

const PEM_LABELS = {
  certificate: 'CERTIFICATE',
  'private key': '(?:[A-Z]+ )?PRIVATE KEY',
} as const;

/** The content of a file that `option` names. Throws a `Failure` that names the option. */
function readPemFile(option: string, path: string, content: keyof typeof PEM_LABELS): Buffer {
  const pem = readOctets(option, path);
  const begin = new RegExp(`^-----BEGIN ${PEM_LABELS[content]}-----`, 'm');
  if (begin.test(pem.toString('latin1'))) return pem;
  throw new Failure(
    'usage',
    `${option}: ${path} contains no ${content} in PEM`,
    'see openssl x509',
  );
}

function readOctets(option: string, path: string): Buffer {
  try {
    return process.getBuiltinModule('node:fs').readFileSync(path);
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code;
    const problem = `${option}: cannot read ${path} (${reason})`;
    throw new Failure('usage', problem, 'name a readable file');
  }
}
