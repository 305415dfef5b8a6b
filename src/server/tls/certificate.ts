/**
 * The server's certificate, which it reads again when its files change: each minute, and when the operator asks for it.
 * A pair that cannot be used changes nothing: the previous one stays valid for some time. Open connections keep theirs.
 */
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

/** Renewals come days before they are needed, and a look at two files costs microseconds. */
const LOOK_EVERY_MS = 60_000;

export interface ServerCertificateOptions {
  readonly files: CertificateFiles;
  /** What the files had a moment ago. */
  readonly pair: CertificatePair;
  /** Reads and tries the pair. Must not throw. */
  readonly read: (files: CertificateFiles) => ReadPair;
  /** Default: the system's. */
  readonly clock?: Clock;
  /** Another pair is in use. Must not throw. */
  readonly onRenewed: (pair: CertificatePair) => void;
  /** Once for each change of the files. Must not throw. */
  readonly onUnusable: (problem: string) => void;
}

export class ServerCertificate {
  readonly #options: ServerCertificateOptions;
  readonly #clock: Clock;
  readonly #listeners: ((pair: CertificatePair) => void)[] = [];
  #pair: CertificatePair;
  /** '': they may have changed since `pair` was read, so the first look reads them again. */
  #stamp = '';
  #timer: Timer | undefined;

  constructor(options: ServerCertificateOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#pair = options.pair;
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
    const { files, read: readPair, onRenewed, onUnusable } = this.#options;
    // Before reading: a change while the files are read is seen the next time.
    const stamp = stampOf(files);
    if (stamp === this.#stamp) return;
    this.#stamp = stamp;
    const read = readPair(files);
    if (read.kind === 'unusable') {
      onUnusable(read.problem);
      return;
    }
    const { cert, key } = this.#pair;
    if (read.pair.cert.equals(cert) && read.pair.key.equals(key)) return;
    this.#pair = read.pair;
    for (const listener of this.#listeners) listener(read.pair);
    onRenewed(read.pair);
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
