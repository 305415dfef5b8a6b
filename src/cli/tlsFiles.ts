/** The certificates and keys that options name, read and tried out before anybody waits for a connection with them. */
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { EtcdLocation } from '../config/storeLocation.ts';
import { Failure } from './failure.ts';

type Files = NonNullable<EtcdLocation['tls']>;

/** PEM, each present if its file is named. */
export interface Tls {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

/** Throws a `Failure` that names the option whose file is no good. */
export function readTls({ caFile, certFile, keyFile }: Files): Tls {
  const tls = {
    ...readPem('ca', '--ca-cert', caFile, 'CERTIFICATE'),
    ...readPem('cert', '--tls-pem', certFile, 'CERTIFICATE'),
    ...readPem('key', '--tls-key', keyFile, '(?:[A-Z]+ )?PRIVATE KEY'),
  };
  try {
    createSecureContext(tls);
  } catch (error) {
    const { message } = error as Error;
    const problem = /values mismatch/i.test(message)
      ? `--tls-key: ${keyFile} is not the key of ${certFile}`
      : `--ca-cert, --tls-pem, --tls-key: OpenSSL cannot use them (${message})`;
    throw new Failure('usage', problem, 'give a certificate and its own key, unencrypted, in PEM');
  }
  return tls;
}

function readPem(
  field: keyof Tls,
  option: string,
  path: string | undefined,
  kind: string,
): { readonly [F in keyof Tls]?: Buffer } {
  if (path === undefined) return {};
  const pem = readOctets(option, path);
  if (!new RegExp(`^-----BEGIN ${kind}-----`, 'm').test(pem.toString('latin1'))) {
    const what = kind === 'CERTIFICATE' ? 'certificate' : 'private key';
    throw new Failure('usage', `${option}: ${path} holds no ${what} in PEM`, 'see openssl x509');
  }
  return { [field]: pem };
}

function readOctets(option: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code;
    const problem = `${option}: cannot read ${path} (${reason})`;
    throw new Failure('usage', problem, 'give a file that can be read');
  }
}
