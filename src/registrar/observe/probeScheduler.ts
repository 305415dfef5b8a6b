/**
 * Schedules probes. Total rate and open probes are bounded, because containers choose how many checks they have. Containers
 * take turns and each has at most 8 open probes, so many or unanswered checks of one container mainly delay its own.
 */
import type { Clock, Timer } from '../../timing/clock.ts';
import type { ContainerId } from '../engine/containerId.ts';

export interface ProbeSchedulerOptions {
  readonly clock: Clock;
  readonly maxOpen?: number;
  readonly maxOpenOfContainer?: number;
  readonly maxPerSecond?: number;
}

const MAX_OPEN = 50;
const MAX_OPEN_OF_CONTAINER = 8;
const MAX_PER_SECOND = 200;
/** How much of a second's share may be used at once after a pause. */
const BURST_MS = 100;

type StartProbe = () => void;

/** The probes of one container. */
interface ContainerShare {
  readonly waiting: Set<StartProbe>;
  open: number;
}

export class ProbeScheduler {
  readonly #clock: Clock;
  readonly #maxOpen: number;
  readonly #maxOpenOfContainer: number;
  /** Between two starts, on average. */
  readonly #spacingMs: number;
  readonly #shares = new Map<ContainerId, ContainerShare>();
  /** Those that have something waiting and may start it, the next one first. */
  readonly #queue = new Set<ContainerId>();
  #open = 0;
  /** When the next probe may start: it falls behind the clock by a burst at most. */
  #nextStartMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;

  constructor(options: ProbeSchedulerOptions) {
    this.#clock = options.clock;
    this.#maxOpen = options.maxOpen ?? MAX_OPEN;
    this.#maxOpenOfContainer = options.maxOpenOfContainer ?? MAX_OPEN_OF_CONTAINER;
    this.#spacingMs = 1000 / (options.maxPerSecond ?? MAX_PER_SECOND);
  }

  /** Starts it when it is the container's turn, and gives its result; false if it was aborted before. Never rejects. */
  async run(
    containerId: ContainerId,
    signal: AbortSignal,
    probe: () => Promise<boolean>,
  ): Promise<boolean> {
    if (!(await this.#waitForStart(containerId, signal))) return false;
    try {
      return await probe();
    } finally {
      this.#end(containerId);
    }
  }

  /** Gives false if the wait was aborted. */
  #waitForStart(containerId: ContainerId, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    const share = this.#shares.get(containerId) ?? { waiting: new Set<StartProbe>(), open: 0 };
    this.#shares.set(containerId, share);
    return new Promise((resolve) => {
      const start = (): void => {
        signal.removeEventListener('abort', onAbort);
        resolve(true);
      };
      const onAbort = (): void => {
        share.waiting.delete(start);
        this.#updateQueue(containerId, share);
        resolve(false);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      share.waiting.add(start);
      this.#updateQueue(containerId, share);
      this.#pump();
    });
  }

  #end(containerId: ContainerId): void {
    this.#open--;
    const share = this.#shares.get(containerId);
    if (share !== undefined) {
      share.open--;
      this.#updateQueue(containerId, share);
    }
    this.#pump();
  }

  /** Puts the container where its share says: into the queue, keeping its place, out of it, or away. */
  #updateQueue(containerId: ContainerId, { waiting, open }: ContainerShare): void {
    if (waiting.size > 0 && open < this.#maxOpenOfContainer) this.#queue.add(containerId);
    else this.#queue.delete(containerId);
    if (waiting.size === 0 && open === 0) this.#shares.delete(containerId);
  }

  #pump(): void {
    while (this.#open < this.#maxOpen && this.#timer === undefined) {
      const [containerId] = this.#queue;
      if (containerId === undefined) return;
      const nowMs = this.#clock.monotonicMs();
      if (nowMs < this.#nextStartMs) {
        this.#timer = this.#clock.startTimer(this.#nextStartMs - nowMs, () => {
          this.#timer = undefined;
          this.#pump();
        });
        return;
      }
      this.#nextStartMs = Math.max(this.#nextStartMs, nowMs - BURST_MS) + this.#spacingMs;
      this.#start(containerId);
    }
  }

  #start(containerId: ContainerId): void {
    const share = this.#shares.get(containerId);
    const [start] = share?.waiting ?? [];
    this.#queue.delete(containerId);
    if (share === undefined || start === undefined) return;
    share.waiting.delete(start);
    share.open++;
    this.#open++;
    this.#updateQueue(containerId, share);
    start();
  }
}
