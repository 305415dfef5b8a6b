/** Reads the certificates of DNS over TLS, and says which option names a file that is not what it should be. */
import type { Config } from '../../config/config.ts';
import { type CertificatePair, readPair } from '../../server/tls/certificate.ts';
import { Failure } from './failure.ts';
import { readPemFile } from './openStore.ts';

/** The CAs of `--upstream-ca`, in PEM. Throws a `Failure` if OpenSSL cannot read them. */
export function readUpstreamCa(path: string): string {
  const option = '--upstream-ca';
  const pem = readPemFile(option, path, 'certificate').toString('latin1');
  try {
    // An import would load all root certificates.
    process.getBuiltinModule('node:tls').createSecureContext({ ca: pem });
  } catch (error) {
    const problem = `${option}: OpenSSL cannot use ${path} (${(error as Error).message})`;
    throw new Failure('usage', problem, 'give certificates in PEM');
  }
  return pem;
}

/**
 * The pair that the options name; undefined if they name none. Throws a `Failure` if it cannot be used.
 */
export function readServerPair({
  serverCertFile,
  serverKeyFile,
}: Pick<Config, 'serverCertFile' | 'serverKeyFile'>): CertificatePair | undefined {
  if (serverCertFile === undefined || serverKeyFile === undefined) return undefined;
  const read = readPair({ certFile: serverCertFile, keyFile: serverKeyFile });
  if (read.kind === 'pair') return read.pair;
  throw new Failure(
    'usage',
    read.problem,
    'give a certificate and its own key, unencrypted, in PEM',
  );
}
