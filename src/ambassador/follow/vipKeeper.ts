/**
 * Claims a virtual address for each name that asks for one. All hosts try the same addresses for a name, and a claim
 * writes a key only if it is absent: whichever host comes first, the others find the name there.
 */
import { familyOfAddress } from '../../dns/address.ts';
import { equalNames, type Name, nameKey, printName } from '../../dns/name.ts';
import { type Store, StoreError } from '../../store/store.ts';
import { backoffMs } from '../../timing/backoff.ts';
import { Alarm, type Clock } from '../../timing/clock.ts';
import { type ClaimedAddress, claimAddress } from '../names/claimAddress.ts';
import { candidateAddresses, isInRange, type VipRange } from '../vipRange.ts';
import type { VipRequest } from '../vipRequests.ts';

/** The virtual addresses in the store. */
export interface StoredVips {
  addressOf(name: Name, family: 4 | 6): string | undefined;
  nameAt(address: string): Name | undefined;
}

export interface VipKeeperOptions {
  readonly store: Pick<Store, 'put'>;
  /** The prefix of the keys, such as `/skydns-vip/`. */
  readonly prefix: string;
  readonly ranges: readonly VipRange[];
  readonly requestOf: (name: Name) => VipRequest | undefined;
  readonly stored: StoredVips;
  /** Whether the record is of a container on this host; other hosts' claims come first for theirs. */
  readonly isLocal: (key: string) => boolean;
  readonly clock: Clock;
  /** Returns 0 to below 1. */
  readonly random: () => number;
  readonly onEvent: (event: VipEvent) => void;
}

export type VipEvent =
  | { readonly kind: 'claimed'; readonly name: Name; readonly address: string }
  /** The name stays without a virtual address of its own choice. */
  | { readonly kind: 'refused'; readonly name: Name; readonly reason: string }
  | { readonly kind: 'exhausted'; readonly name: Name }
  | { readonly kind: 'failed'; readonly error: StoreError; readonly retryInMs: number };

const RETRY = { minMs: 100, maxMs: 10_000 };
/** How long the host of a container has to claim before other hosts do: it may run no ambassador. */
const OTHERS_WAIT_MS = 500;

export class VipKeeper {
  readonly #options: VipKeeperOptions;
  readonly #due = new Map<string, { readonly name: Name; readonly atMs: number }>();
  /** No name is due earlier. */
  #firstDueMs = Number.POSITIVE_INFINITY;
  readonly #alarm: Alarm;
  /** The names that get no address of a family, with the reason that was reported. */
  readonly #reported = new Map<string, { readonly name: Name; readonly reason: string }>();
  /** Those of them whose range is full. */
  readonly #without = new Set<string>();
  #failuresInARow = 0;
  #isRunning = false;
  #isClosed = false;

  constructor(options: VipKeeperOptions) {
    this.#options = options;
    this.#alarm = new Alarm(options.clock, () => void this.#run());
  }

  /** Whether a name has no virtual address because the range is full. */
  get isExhausted(): boolean {
    return this.#without.size > 0;
  }

  /** Why a name that asks for an address gets none of the family; undefined if it has one, or if that is not decided. */
  reasonOf(name: Name, family: 4 | 6): string | undefined {
    return this.#reported.get(claimKey(name, family))?.reason;
  }

  /** Call this when addresses in the store may have been released: names without one try again. */
  retry(): void {
    this.check([...this.#reported.values()].map(({ name }) => name));
  }

  /** Call this when the requests or the stored addresses of names may have changed. */
  check(names: Iterable<Name>): void {
    const { clock, random, isLocal, requestOf, ranges } = this.#options;
    for (const name of names) {
      const key = nameKey(name);
      const request = requestOf(name);
      const missing = request === undefined ? [] : this.#missingRanges(name);
      for (const range of ranges) if (!missing.includes(range)) this.#noteSettled(name, range);
      if (request === undefined || missing.length === 0) {
        this.#due.delete(key);
      } else if (!this.#due.has(key)) {
        const waitMs = request.keys.some(isLocal) ? 0 : OTHERS_WAIT_MS * (1 + random());
        const atMs = clock.monotonicMs() + waitMs;
        this.#due.set(key, { name, atMs });
        this.#firstDueMs = Math.min(this.#firstDueMs, atMs);
      }
    }
    this.#schedule();
  }

  close(): void {
    this.#isClosed = true;
    this.#alarm.set(undefined);
  }

  #missingRanges(name: Name): readonly VipRange[] {
    const { ranges, stored } = this.#options;
    return ranges.filter(({ family }) => stored.addressOf(name, family) === undefined);
  }

  #schedule(delayMs = 0): void {
    if (this.#isRunning || this.#isClosed) return;
    const nowMs = this.#options.clock.monotonicMs();
    const isDue = this.#due.size > 0;
    this.#alarm.set(isDue ? Math.max(this.#firstDueMs, nowMs + delayMs) : undefined);
  }

  async #run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    let delayMs = 0;
    try {
      await this.#claimDue();
      this.#failuresInARow = 0;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      delayMs = backoffMs(++this.#failuresInARow, RETRY, this.#options.random);
      this.#options.onEvent({ kind: 'failed', error, retryInMs: delayMs });
    } finally {
      this.#isRunning = false;
      this.#firstDueMs = Number.POSITIVE_INFINITY;
      for (const { atMs } of this.#due.values())
        this.#firstDueMs = Math.min(this.#firstDueMs, atMs);
      this.#schedule(delayMs);
    }
  }

  async #claimDue(): Promise<void> {
    const { clock, requestOf } = this.#options;
    const full = new Set<VipRange>();
    for (const [key, { name, atMs }] of [...this.#due]) {
      if (this.#isClosed) return;
      if (atMs > clock.monotonicMs()) continue;
      const request = requestOf(name);
      for (const range of request === undefined ? [] : this.#missingRanges(name))
        await this.#claim(range, request as VipRequest, full);
      // It may ask for another address meanwhile, which `check` left to this claim.
      if (requestOf(name)?.fixed === request?.fixed) this.#due.delete(key);
    }
  }

  /** `full`: ranges in which another name has found no address just now. */
  async #claim(range: VipRange, request: VipRequest, full: Set<VipRange>): Promise<void> {
    const { name, fixed } = request;
    if (fixed !== undefined && familyOfAddress(fixed) === range.family) {
      await this.#claimFixed(range, name, fixed);
      return;
    }
    for (const address of full.has(range) ? [] : candidateAddresses(range, name)) {
      const result = await this.#tryAddress(name, address);
      if (result.kind === 'taken') continue;
      this.#noteSettled(name, range);
      return;
    }
    full.add(range);
    this.#without.add(claimKey(name, range.family));
    const reason = 'the range of virtual addresses is full';
    this.#report(range, reason, { kind: 'exhausted', name });
  }

  async #claimFixed(range: VipRange, name: Name, address: string): Promise<void> {
    const reason = await this.#refusalOf(range, name, address);
    if (reason === undefined) this.#noteSettled(name, range);
    else this.#report(range, reason, { kind: 'refused', name, reason });
  }

  async #refusalOf(range: VipRange, name: Name, address: string): Promise<string | undefined> {
    if (!isInRange(range, address)) return `${address} is outside the range of virtual addresses`;
    const result = await this.#tryAddress(name, address);
    if (result.kind === 'held') return undefined;
    const holder = result.by === undefined ? 'an invalid key' : printName(result.by);
    return `${address} is taken by ${holder}`;
  }

  /** The name has an address in the range, or asks for none. */
  #noteSettled(name: Name, { family }: VipRange): void {
    this.#without.delete(claimKey(name, family));
    this.#reported.delete(claimKey(name, family));
  }

  /** `held`: the name has the address now, by this claim or by another host's. */
  async #tryAddress(
    name: Name,
    address: string,
  ): Promise<{ kind: 'held' } | Extract<ClaimedAddress, { kind: 'taken' }>> {
    const { store, prefix, stored, clock, onEvent } = this.#options;
    const known = stored.nameAt(address);
    if (known !== undefined)
      return equalNames(known, name) ? { kind: 'held' } : { kind: 'taken', by: known };
    const since = new Date(clock.wallMs()).toISOString();
    const claimed = await claimAddress(store, prefix, address, { name, since, ports: [] });
    if (claimed.kind === 'taken') return claimed;
    if (claimed.kind === 'claimed') onEvent({ kind: 'claimed', name, address });
    return { kind: 'held' };
  }

  #report({ family }: VipRange, reason: string, event: NameWithout): void {
    const { name } = event;
    const key = claimKey(name, family);
    if (this.#reported.get(key)?.reason === reason) return;
    this.#reported.set(key, { name, reason });
    this.#options.onEvent(event);
  }
}

type NameWithout = Extract<VipEvent, { kind: 'refused' | 'exhausted' }>;

/** A name may have an address of one family and lack that of the other. */
function claimKey(name: Name, family: 4 | 6): string {
  return `${nameKey(name)} ${family}`;
}
