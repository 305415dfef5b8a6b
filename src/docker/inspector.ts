/**
 * Inspects containers, a few at a time, one call at a time for each. A result is passed on only if nothing happened to
 * the container since it was asked for: otherwise it is asked for again, so that a late answer never undoes an event.
 * What happens first is looked at at once, what happens on and on only so often.
 */
import type { Clock, Timer } from '../store/clock.ts';
import { type Engine, EngineError, type Inspection } from './engine.ts';

export interface InspectorOptions {
  readonly engine: Pick<Engine, 'inspect'>;
  readonly clock: Clock;
  readonly concurrency: number;
  /** `undefined`: there is no such container. */
  readonly onResult: (id: string, inspection: Inspection | undefined) => void;
  readonly onFailure: (id: string, error: EngineError) => void;
}

const WINDOW_MS = 50;
const AT_ONCE_IN_A_WINDOW = 3;

/** A burst of inspections of one container. */
interface Window {
  count: number;
  readonly end: Timer;
}

export class Inspector {
  readonly #options: InspectorOptions;
  /** First come, first served. */
  readonly #queue = new Set<string>();
  /** Under way, and whether the answer will be out of date. */
  readonly #asking = new Map<string, { isStale: boolean }>();
  readonly #windows = new Map<string, Window>();
  /** To be asked for when their window ends. */
  readonly #later = new Set<string>();
  #isClosed = false;

  constructor(options: InspectorOptions) {
    this.#options = options;
  }

  /** The container is to be looked at; what is under way about it is out of date. */
  request(id: string): void {
    if (this.#asking.has(id)) this.doubt(id);
    else this.#enqueue(id);
    this.#pump();
  }

  /** If something is under way about the container, it is out of date. */
  doubt(id: string): void {
    const asking = this.#asking.get(id);
    if (asking !== undefined) asking.isStale = true;
  }

  /** How many are not known yet. */
  get pending(): number {
    return this.#queue.size + this.#asking.size + this.#later.size;
  }

  close(): void {
    this.#isClosed = true;
    this.#queue.clear();
    for (const { end } of this.#windows.values()) end.cancel();
  }

  #enqueue(id: string): void {
    const window = this.#windows.get(id);
    if (window !== undefined && window.count >= AT_ONCE_IN_A_WINDOW) this.#later.add(id);
    else this.#queue.add(id);
  }

  #count(id: string): void {
    const window = this.#windows.get(id);
    if (window !== undefined) {
      window.count++;
      return;
    }
    const end = this.#options.clock.startTimer(WINDOW_MS, () => {
      this.#windows.delete(id);
      if (this.#later.delete(id)) this.request(id);
    });
    this.#windows.set(id, { count: 1, end });
  }

  #pump(): void {
    for (const id of this.#queue) {
      if (this.#isClosed || this.#asking.size >= this.#options.concurrency) return;
      this.#queue.delete(id);
      void this.#ask(id);
    }
  }

  async #ask(id: string): Promise<void> {
    this.#count(id);
    const asking = { isStale: false };
    this.#asking.set(id, asking);
    let answer: { inspection: Inspection | undefined } | EngineError;
    try {
      answer = { inspection: await this.#options.engine.inspect(id) };
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      answer = error;
    }
    this.#asking.delete(id);
    if (this.#isClosed) return;
    if (answer instanceof EngineError) this.#options.onFailure(id, answer);
    else if (asking.isStale) this.#enqueue(id);
    else this.#options.onResult(id, answer.inspection);
    this.#pump();
  }
}
