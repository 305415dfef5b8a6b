/** Temporary certificates and keys, in folders that the caller removes. */
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificates {
  /** Path of a PEM file. */
  path(name: string): string;
  /** Content of a PEM file. */
  pem(name: string): Buffer;
  remove(): void;
}

/** Name -> subject, `subjectAltName`, days of validity. `ca` signs all of them. */
const SIGNED = {
  server: ['/CN=server', 'IP:127.0.0.1,IP:::1,DNS:localhost', 2],
  client: ['/CN=client', 'DNS:client', 2],
  elsewhere: ['/CN=elsewhere', 'DNS:elsewhere.example', 2],
  expired: ['/CN=expired', 'IP:127.0.0.1,DNS:localhost', -1],
  addressed: ['/CN=addressed', 'IP:127.0.0.1', 2],
  named: ['/CN=127.0.0.1', 'DNS:localhost', 2],
  bare: ['/CN=127.0.0.1', undefined, 2],
  docker: ['/CN=docker', 'DNS:docker', 2],
  nameless: ['/O=nameless', 'IP:192.0.2.1', 2],
} as const;

/**
 * Makes `ca.pem`, `stranger.pem` (a CA that signs nothing), and a certificate for each entry of `SIGNED`, each with its
 * `-key.pem`.
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
  for (const [name, [subject, san, days]] of Object.entries(SIGNED)) {
    openssl('req', ...key(name), '-out', `${name}.csr`, '-subj', subject);
    const names = san === undefined ? '' : `subjectAltName=${san}\n`;
    writeFileSync(path(`${name}.ext`), `${names}extendedKeyUsage=serverAuth,clientAuth\n`);
    const signer = ['-CA', 'ca.pem', '-CAkey', 'ca-key.pem', '-CAcreateserial'];
    const files = ['-in', `${name}.csr`, '-extfile', `${name}.ext`, '-out', `${name}.pem`];
    openssl('x509', '-req', ...files, ...signer, '-days', String(days));
  }
  return {
    path,
    pem: (name) => readFileSync(path(name)),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** A key pair for etcd's JWT tokens; `options` is the part of etcd's `--auth-token` that names the files. */
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
