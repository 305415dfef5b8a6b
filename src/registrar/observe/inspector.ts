/**
 * Inspects containers, a few at a time, one call at a time for each. If something happened to the container since a
 * result was asked for, it is asked for again. Such a late answer is passed on only when there was no other for a while,
 * and never when it would undo an event. What happens first is looked at at once, what happens on and on only so often.
 */
import type { Clock, Timer } from '../../timing/clock.ts';
import type { ContainerId } from '../engine/containerId.ts';
import { type Engine, EngineError, type Inspection } from '../engine/engine.ts';

export interface InspectorOptions {
  readonly engine: Pick<Engine, 'inspect'>;
  readonly clock: Clock;
  readonly concurrency: number;
  /** `undefined`: there is no such container. */
  readonly onResult: (id: ContainerId, inspection: Inspection | undefined) => void;
  readonly onFailure: (id: ContainerId, error: EngineError) => void;
}

/** Late answers in a row that are not passed on. */
const MAX_HELD_BACK = 3;
const WINDOW_MS = 50;
const AT_ONCE_IN_A_WINDOW = 3;

/** A burst of inspections of one container. */
interface Window {
  count: number;
  readonly end: Timer;
}

/** Of what an answer under way will say: true, maybe not all of it any more, or what must not be believed. */
type Validity = 'current' | 'late' | 'wrong';

export class Inspector {
  readonly #options: InspectorOptions;
  /** First come, first served. */
  readonly #queue = new Set<ContainerId>();
  readonly #underWay = new Map<ContainerId, { validity: Validity }>();
  /** Late answers in a row. */
  readonly #heldBack = new Map<ContainerId, number>();
  readonly #windows = new Map<ContainerId, Window>();
  /** To be asked for when their window ends. */
  readonly #later = new Set<ContainerId>();
  #isClosed = false;

  constructor(options: InspectorOptions) {
    this.#options = options;
  }

  /** The container is to be looked at; what is under way about it may be out of date. */
  request(id: ContainerId): void {
    const asking = this.#underWay.get(id);
    if (asking === undefined) this.#enqueue(id);
    else if (asking.validity === 'current') asking.validity = 'late';
    this.#pump();
  }

  /** If something is under way about the container, it must not be believed. */
  invalidate(id: ContainerId): void {
    const asking = this.#underWay.get(id);
    if (asking !== undefined) asking.validity = 'wrong';
  }

  /** How many are not known yet. */
  get pending(): number {
    return this.#queue.size + this.#underWay.size + this.#later.size;
  }

  close(): void {
    this.#isClosed = true;
    this.#queue.clear();
    for (const { end } of this.#windows.values()) end.cancel();
  }

  #enqueue(id: ContainerId): void {
    const window = this.#windows.get(id);
    if (window !== undefined && window.count >= AT_ONCE_IN_A_WINDOW) this.#later.add(id);
    else this.#queue.add(id);
  }

  #count(id: ContainerId): void {
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
      if (this.#isClosed || this.#underWay.size >= this.#options.concurrency) return;
      this.#queue.delete(id);
      void this.#inspect(id);
    }
  }

  async #inspect(id: ContainerId): Promise<void> {
    this.#count(id);
    const asking: { validity: Validity } = { validity: 'current' };
    this.#underWay.set(id, asking);
    let answer: { inspection: Inspection | undefined } | EngineError;
    try {
      answer = { inspection: await this.#options.engine.inspect(id) };
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      answer = error;
    }
    this.#underWay.delete(id);
    if (this.#isClosed) return;
    if (answer instanceof EngineError) this.#options.onFailure(id, answer);
    else {
      if (this.#mayPass(id, asking.validity)) this.#options.onResult(id, answer.inspection);
      if (asking.validity !== 'current') this.#enqueue(id);
    }
    this.#pump();
  }

  #mayPass(id: ContainerId, validity: Validity): boolean {
    if (validity === 'wrong') return false;
    const heldBack = this.#heldBack.get(id) ?? 0;
    const mayPass = validity === 'current' || heldBack >= MAX_HELD_BACK;
    if (mayPass) this.#heldBack.delete(id);
    else this.#heldBack.set(id, heldBack + 1);
    return mayPass;
  }
}
