/**
 * Makes the signatures of RRsets in libuv's thread pool, at a limited rate, and keeps them. A kept signature is found by
 * what it covers and by its keys, so it can never be that of other records: a change of the zone needs no notice here.
 */
import { createHash, sign } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import {
  rrsigHead,
  type SignatureTimes,
  signatureTimes,
  signedOctets,
  type UnsignedSet,
} from '../sign/rrsig.ts';
import { algorithmOf, type SigningKey } from '../sign/signingKey.ts';

export interface SignerOptions {
  readonly validitySeconds: () => number;
  /** Signatures a second. */
  readonly signRate: () => number;
  readonly unixSeconds: () => number;
  readonly monotonicMs: () => number;
}

/** An RRset with the keys that sign it. */
export interface SigningJob {
  readonly set: UnsignedSet;
  readonly keys: readonly SigningKey[];
  /** The set is about a name that is not in the store: clients can invent any number of them. */
  readonly isOfInventedName: boolean;
}

/** The signatures of an RRset: the data of its RRSIG records. */
export interface SetSignatures {
  readonly data: readonly Uint8Array[];
  /** Seconds since 1970; see `SignatureTimes`. */
  readonly refresh: number;
}

/** Signatures that are kept: of existing names, and of names that clients have invented. */
const KEPT_SETS = 8_192;
const KEPT_INVENTED = 4_096;

/** After a quiet time, so much of a second's signatures may be made at once. */
const BURST_SECONDS = 0.25;
/** A client over TCP waits so long for its turn. */
const MOST_WAIT_SECONDS = 1;

export interface SigningCounts {
  made: number;
  kept: number;
  refused: number;
  failed: number;
}

export class Signer {
  readonly counts: SigningCounts = { made: 0, kept: 0, refused: 0, failed: 0 };
  readonly #options: SignerOptions;
  readonly #sets = new SignatureStore(KEPT_SETS);
  readonly #invented = new SignatureStore(KEPT_INVENTED);
  /** Signatures that are being made. */
  readonly #pending = new Map<string, Promise<SetSignatures>>();
  /** Signatures that clients over TCP wait for, before their turn. */
  readonly #queued = new Map<string, Promise<SetSignatures>>();
  /** Signatures that may be made now; below 0, those that clients over TCP wait for. */
  #allowance = 0;
  #countedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: SignerOptions) {
    this.#options = options;
  }

  /**
   * The signatures of each set, in the order of the jobs; at once if all are kept. `undefined`: too many are being made.
   * A client that can wait gets its turn within a second. Rejects if a signature cannot be made, which is a bug.
   */
  sign(
    jobs: readonly SigningJob[],
    canWait: boolean,
  ): readonly SetSignatures[] | Promise<readonly SetSignatures[] | undefined> | undefined {
    const found = jobs.map((job) => this.#find(job, canWait));
    const missing = found.filter(({ known }) => known === undefined);
    this.counts.kept += jobs.length - missing.length;
    const kept = found.flatMap(({ known }) =>
      known === undefined || known instanceof Promise ? [] : known,
    );
    if (kept.length === jobs.length) return kept;
    const waitMs = missing.length === 0 ? 0 : this.#reserve(missing, canWait);
    if (waitMs === undefined) return undefined;
    const turn = waitMs > 0 ? pause(waitMs, undefined, { ref: false }) : undefined;
    return Promise.all(
      found.map((each) => each.known ?? (turn ? this.#queue(each, turn) : this.#start(each))),
    );
  }

  #find(job: SigningJob, canWait: boolean): SoughtSignatures {
    const key = identityOf(job);
    const store = job.isOfInventedName ? this.#invented : this.#sets;
    const known =
      store.get(key, this.#options.unixSeconds()) ??
      this.#pending.get(key) ??
      (canWait ? this.#queued.get(key) : undefined);
    return { job, key, store, known };
  }

  /** Begins when the turn has come, unless a client that did not wait had the signatures made meanwhile. */
  #queue(sought: SoughtSignatures, turn: Promise<unknown>): Promise<SetSignatures> {
    const { job, key } = sought;
    const queued = turn.then(() => {
      this.#queued.delete(key);
      return this.#find(job, false).known ?? this.#start(sought);
    });
    this.#queued.set(key, queued);
    return queued;
  }

  #start({ job, key, store }: SoughtSignatures): Promise<SetSignatures> {
    const { validitySeconds, unixSeconds } = this.#options;
    const times = signatureTimes(job.set, unixSeconds(), validitySeconds());
    const making = Promise.all(job.keys.map((each) => signature(job.set, each, times))).then(
      (data) => {
        const signatures = { data, refresh: times.refresh };
        this.#pending.delete(key);
        store.put(key, signatures);
        this.counts.made += data.length;
        return signatures;
      },
      (error: unknown) => {
        this.#pending.delete(key);
        this.counts.failed += job.keys.length;
        throw error;
      },
    );
    this.#pending.set(key, making);
    return making;
  }

  /** The milliseconds to wait before the signatures may be made; `undefined` if they are too many. */
  #reserve(missing: readonly SoughtSignatures[], canWait: boolean): number | undefined {
    const count = missing.reduce((sum, { job }) => sum + job.keys.length, 0);
    const { signRate, monotonicMs } = this.#options;
    const perSecond = signRate();
    const nowMs = monotonicMs();
    const most = Math.max(perSecond * BURST_SECONDS, count);
    const gained = ((nowMs - this.#countedAtMs) / 1000) * perSecond;
    this.#allowance = Math.min(this.#allowance + gained, most);
    this.#countedAtMs = nowMs;
    const left = this.#allowance - count;
    if (left < 0 && (!canWait || -left > perSecond * MOST_WAIT_SECONDS)) {
      this.counts.refused += count;
      return undefined;
    }
    this.#allowance = left;
    return left < 0 ? (-left / perSecond) * 1000 : 0;
  }
}

interface SoughtSignatures {
  readonly job: SigningJob;
  readonly key: string;
  readonly store: SignatureStore;
  /** The signatures, or those that are being made already. */
  readonly known: SetSignatures | Promise<SetSignatures> | undefined;
}

function identityOf({ set, keys }: SigningJob): string {
  const hash = createHash('sha256').update(set.octets);
  for (const { dnskey } of keys) hash.update(dnskey);
  return hash.digest('base64');
}

/** The data of one RRSIG; signed in a thread of the pool. */
function signature(set: UnsignedSet, key: SigningKey, times: SignatureTimes): Promise<Uint8Array> {
  const head = rrsigHead(set, key, times);
  const { digest, ...encoding } = algorithmOf(key.algorithm);
  return new Promise((resolve, reject) => {
    sign(digest, signedOctets(head, set), { key: key.privateKey, ...encoding }, (error, octets) => {
      if (error === null) resolve(Buffer.concat([head, octets]));
      else reject(error);
    });
  });
}

/** A bounded number of signatures; the one that was found least recently leaves first. */
class SignatureStore {
  readonly #entries = new Map<string, SetSignatures>();
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** `undefined` if another signature is to be made. */
  get(key: string, nowSeconds: number): SetSignatures | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    if (entry.refresh <= nowSeconds) return undefined;
    this.#entries.set(key, entry);
    return entry;
  }

  put(key: string, signatures: SetSignatures): void {
    this.#entries.delete(key);
    if (this.#entries.size >= this.#capacity) {
      const [oldest = ''] = this.#entries.keys();
      this.#entries.delete(oldest);
    }
    this.#entries.set(key, signatures);
  }
}
