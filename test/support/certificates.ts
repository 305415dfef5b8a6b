/** Throw-away certificates and keys, each in a folder that the caller removes. */
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificates {
  /** Path of a PEM file. */
  path(name: string): string;
  /** Its content. */
  pem(name: string): Buffer;
  remove(): void;
}

/**
 * Makes `ca.pem`, `server.pem` and `client.pem` (signed by it, the server's for 127.0.0.1 and localhost), `elsewhere.pem`
 * (signed, for another name) and `expired.pem` (the server's, until yesterday), each with its `-key.pem`, and
 * `stranger.pem`, a CA that signed none of them.
 */
export function makeCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'soradns-certs-'));
  const path = (name: string): string => join(folder, name);
  const openssl = (...args: string[]): void =>
    void execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const key = (name: string): string[] => [
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    `${name}-key.pem`,
  ];
  for (const ca of ['ca', 'stranger']) {
    openssl('req', '-x509', ...key(ca), '-out', `${ca}.pem`, '-days', '2', '-subj', `/CN=${ca}`);
  }
  for (const [name, san, days] of [
    ['server', 'IP:127.0.0.1,DNS:localhost', '2'],
    ['client', 'DNS:client', '2'],
    ['elsewhere', 'DNS:elsewhere.example', '2'],
    ['expired', 'IP:127.0.0.1,DNS:localhost', '-1'],
  ] as const) {
    openssl('req', ...key(name), '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    writeFileSync(
      path(`${name}.ext`),
      `subjectAltName=${san}\nextendedKeyUsage=serverAuth,clientAuth\n`,
    );
    const signer = ['-CA', 'ca.pem', '-CAkey', 'ca-key.pem', '-CAcreateserial'];
    openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      ...signer,
      '-days',
      days,
      '-extfile',
      `${name}.ext`,
      '-out',
      `${name}.pem`,
    );
  }
  return {
    path,
    pem: (name) => readFileSync(path(name)),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** A key pair for etcd's JWT tokens; `options` names its files in etcd's words. */
export function makeJwtKeys(): { options: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'soradns-jwt-'));
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  writeFileSync(join(folder, 'private.pem'), privateKey);
  writeFileSync(join(folder, 'public.pem'), publicKey);
  return {
    options: `pub-key=${join(folder, 'public.pem')},priv-key=${join(folder, 'private.pem')}`,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
