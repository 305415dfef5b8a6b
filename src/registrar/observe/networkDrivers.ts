/**
 * Which networks are bridges. Inspections of containers do not say it, so the engine is asked once about each network.
 * A network keeps its driver as long as it exists. After a failure, which may be a proxy's refusal, the engine is asked
 * again, each time later.
 */
import type { Clock, Timer } from '../../timing/clock.ts';
import type { ContainerNetwork } from '../describe/container.ts';
import { type Engine, EngineError } from '../engine/engine.ts';

export interface NetworkDriversOptions {
  readonly engine: Pick<Engine, 'networkDriver'>;
  readonly clock: Clock;
  /** Called when `isBridge` may have another result. */
  readonly onChange: () => void;
}

type Knowledge =
  | { readonly kind: 'known'; readonly isBridge: boolean }
  | { readonly kind: 'asking' }
  | { readonly kind: 'failed'; readonly retry: Timer };

const RETRY_MS = [1_000, 5_000, 30_000] as const;
const LAST_RETRY_MS = 60_000;
/** A limit of memory; networks that are still used are asked for again. */
const MAX_NETWORKS = 1_000;

export class NetworkDrivers {
  readonly #options: NetworkDriversOptions;
  readonly #known = new Map<string, Knowledge>();
  readonly #failures = new Map<string, number>();
  #asking = 0;
  #isClosed = false;

  constructor(options: NetworkDriversOptions) {
    this.#options = options;
  }

  /** `undefined` while it is unknown; the first call for a network asks the engine. */
  isBridge({ id, name }: Pick<ContainerNetwork, 'id' | 'name'>): boolean | undefined {
    // Docker reserves the name for its default network.
    if (name === 'bridge') return true;
    if (id === '') return undefined;
    const known = this.#known.get(id);
    if (known === undefined && !this.#isClosed) void this.#ask(id);
    return known?.kind === 'known' ? known.isBridge : undefined;
  }

  /** Whether no answer is awaited. */
  get isSettled(): boolean {
    return this.#asking === 0;
  }

  close(): void {
    this.#isClosed = true;
    this.#forgetAll();
  }

  async #ask(id: string): Promise<void> {
    if (this.#known.size >= MAX_NETWORKS) this.#forgetAll();
    this.#known.set(id, { kind: 'asking' });
    this.#asking++;
    let driver: string | undefined;
    try {
      driver = await this.#options.engine.networkDriver(id);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
    } finally {
      this.#asking--;
    }
    if (this.#isClosed) return;
    if (driver === undefined) this.#fail(id);
    else this.#known.set(id, { kind: 'known', isBridge: driver === 'bridge' });
    this.#options.onChange();
  }

  #fail(id: string): void {
    const failures = this.#failures.get(id) ?? 0;
    this.#failures.set(id, failures + 1);
    const retry = this.#options.clock.startTimer(RETRY_MS[failures] ?? LAST_RETRY_MS, () => {
      this.#known.delete(id);
      this.#options.onChange();
    });
    this.#known.set(id, { kind: 'failed', retry });
  }

  #forgetAll(): void {
    for (const known of this.#known.values()) if (known.kind === 'failed') known.retry.cancel();
    this.#known.clear();
    this.#failures.clear();
  }
}
