/**
 * Inspects containers: a few at a time, and at most one call for each container. An event during a call makes the
 * answer late, and the container is inspected again. Up to three late answers in a row are held back. An answer that
 * would undo an event is never passed on. The first events of a container cause an inspection at once; repeated events
 * cause at most three inspections of the container in 50 ms.
 */
import type { Clock, Timer } from '../../timing/clock.ts';
import type { ContainerId } from '../engine/containerId.ts';
import { type Engine, EngineError, type Inspection } from '../engine/engine.ts';

export interface InspectorOptions {
  readonly engine: Pick<Engine, 'inspect'>;
  readonly clock: Clock;
  readonly concurrency: number;
  /** `undefined` if the container does not exist. */
  readonly onResult: (id: ContainerId, inspection: Inspection | undefined) => void;
  readonly onFailure: (id: ContainerId, error: EngineError) => void;
}

/** The number of late answers in a row that are held back. */
const MAX_HELD_BACK = 3;
const WINDOW_MS = 50;
const AT_ONCE_IN_A_WINDOW = 3;

/** A burst of inspections of one container. */
interface Window {
  count: number;
  readonly end: Timer;
}

/**
 * Whether the answer to an open call may be used. `late`: an event followed the request; `invalid`: it would undo an
 * event.
 */
type Validity = 'current' | 'late' | 'invalid';

export class Inspector {
  readonly #options: InspectorOptions;
  /** In order of the requests. */
  readonly #queue = new Set<ContainerId>();
  readonly #open = new Map<ContainerId, { validity: Validity }>();
  /** The number of late answers in a row that were held back. */
  readonly #heldBack = new Map<ContainerId, number>();
  readonly #windows = new Map<ContainerId, Window>();
  /** Containers that are inspected at the end of their window. */
  readonly #later = new Set<ContainerId>();
  #isClosed = false;

  constructor(options: InspectorOptions) {
    this.#options = options;
  }

  /** Requests an inspection. The answer to an open call becomes late. */
  request(id: ContainerId): void {
    const call = this.#open.get(id);
    if (call === undefined) this.#enqueue(id);
    else if (call.validity === 'current') call.validity = 'late';
    this.#pump();
  }

  /** Discards the answer to an open call. */
  invalidate(id: ContainerId): void {
    const call = this.#open.get(id);
    if (call !== undefined) call.validity = 'invalid';
  }

  /** The number of containers whose inspection is not finished. */
  get pending(): number {
    return this.#queue.size + this.#open.size + this.#later.size;
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
      if (this.#isClosed || this.#open.size >= this.#options.concurrency) return;
      this.#queue.delete(id);
      void this.#inspect(id);
    }
  }

  async #inspect(id: ContainerId): Promise<void> {
    this.#count(id);
    const call: { validity: Validity } = { validity: 'current' };
    this.#open.set(id, call);
    let answer: { inspection: Inspection | undefined } | EngineError;
    try {
      answer = { inspection: await this.#options.engine.inspect(id) };
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      answer = error;
    }
    this.#open.delete(id);
    if (this.#isClosed) return;
    if (answer instanceof EngineError) this.#options.onFailure(id, answer);
    else {
      if (this.#mayPass(id, call.validity)) this.#options.onResult(id, answer.inspection);
      if (call.validity !== 'current') this.#enqueue(id);
    }
    this.#pump();
  }

  #mayPass(id: ContainerId, validity: Validity): boolean {
    if (validity === 'invalid') return false;
    const heldBack = this.#heldBack.get(id) ?? 0;
    const mayPass = validity === 'current' || heldBack >= MAX_HELD_BACK;
    if (mayPass) this.#heldBack.delete(id);
    else this.#heldBack.set(id, heldBack + 1);
    return mayPass;
  }
}
