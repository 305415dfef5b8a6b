/**
 * The server's certificate, which it reads again when its files change: each minute, and when the operator asks for it.
 * A pair that cannot be used changes nothing, because the one before still is valid for some time. Open connections keep
 * theirs.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Clock, systemClock, type Timer } from '../../timing/clock.ts';
import { fileStamp } from '../../timing/fileStamp.ts';

/** A chain and its key in PEM. */
export interface CertificatePair {
  readonly cert: Buffer;
  readonly key: Buffer;
  /** The DNS names of the certificate, in its order. */
  readonly names: readonly string[];
  readonly expiresUnixSeconds: number;
}

export interface CertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

export type ReadPair =
  | { readonly kind: 'pair'; readonly pair: CertificatePair }
  /** One line without a full stop, that begins with the file's option. */
  | { readonly kind: 'unusable'; readonly problem: string };

/** Reads and tries the pair. Never throws. */
export function readPair({ certFile, keyFile }: CertificateFiles): ReadPair {
  const cert = readOctets('--server-cert', certFile);
  if (cert.kind === 'unusable') return cert;
  const key = readOctets('--server-key', keyFile);
  if (key.kind === 'unusable') return key;
  try {
    const leaf = new X509Certificate(cert.octets);
    if (!leaf.checkPrivateKey(createPrivateKey(key.octets)))
      return unusable(`--server-key: ${keyFile} is not the key of ${certFile}`);
    // OpenSSL refuses more than Node's parser does, such as keys that are too short.
    process
      .getBuiltinModule('node:tls')
      .createSecureContext({ cert: cert.octets, key: key.octets });
    return { kind: 'pair', pair: pairOf(leaf, cert.octets, key.octets) };
  } catch (error) {
    const { message } = error as Error;
    return unusable(`--server-cert, --server-key: OpenSSL cannot use them (${message})`);
  }
}

function readOctets(
  option: string,
  path: string,
): { readonly kind: 'octets'; readonly octets: Buffer } | Extract<ReadPair, { kind: 'unusable' }> {
  try {
    return { kind: 'octets', octets: readFileSync(path) };
  } catch (error) {
    return unusable(`${option}: cannot read ${path} (${(error as NodeJS.ErrnoException).code})`);
  }
}

function unusable(problem: string): Extract<ReadPair, { kind: 'unusable' }> {
  return { kind: 'unusable', problem };
}

function pairOf(leaf: X509Certificate, cert: Buffer, key: Buffer): CertificatePair {
  const names = (leaf.subjectAltName ?? '')
    .split(', ')
    .flatMap((name) => (name.startsWith('DNS:') ? [name.slice('DNS:'.length)] : []));
  return { cert, key, names, expiresUnixSeconds: Date.parse(leaf.validTo) / 1000 };
}

/** Renewals come days before they are needed, and a look at two files costs microseconds. */
const LOOK_EVERY_MS = 60_000;

export interface CertificateEvents {
  /** Another pair is in use. Must not throw. */
  onRenewed(pair: CertificatePair): void;
  /** Once for each change of the files. Must not throw. */
  onUnusable(problem: string): void;
}

export class ServerCertificate {
  readonly #files: CertificateFiles;
  readonly #events: CertificateEvents;
  readonly #clock: Clock;
  readonly #listeners: ((pair: CertificatePair) => void)[] = [];
  #pair: CertificatePair;
  #stamp: string;
  #timer: Timer | undefined;

  /** `pair` is what the files had a moment ago. */
  constructor(
    files: CertificateFiles,
    pair: CertificatePair,
    events: CertificateEvents,
    clock: Clock = systemClock,
  ) {
    this.#files = files;
    this.#pair = pair;
    this.#events = events;
    this.#clock = clock;
    this.#stamp = stampOf(files);
    this.#lookLater();
  }

  get pair(): CertificatePair {
    return this.#pair;
  }

  /** Calls `listener` with each later pair. It must not throw. */
  onRenewed(listener: (pair: CertificatePair) => void): void {
    this.#listeners.push(listener);
  }

  /** Reads the files again if they have changed. */
  look(): void {
    // Before reading: a change while the files are read is seen the next time.
    const stamp = stampOf(this.#files);
    if (stamp === this.#stamp) return;
    this.#stamp = stamp;
    const read = readPair(this.#files);
    if (read.kind === 'unusable') {
      this.#events.onUnusable(read.problem);
      return;
    }
    const { cert, key } = this.#pair;
    if (read.pair.cert.equals(cert) && read.pair.key.equals(key)) return;
    this.#pair = read.pair;
    for (const listener of this.#listeners) listener(read.pair);
    this.#events.onRenewed(read.pair);
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #lookLater(): void {
    this.#timer = this.#clock.startTimer(LOOK_EVERY_MS, () => {
      this.look();
      this.#lookLater();
    });
  }
}

function stampOf({ certFile, keyFile }: CertificateFiles): string {
  return [certFile, keyFile].map(fileStamp).join('\n');
}
