/**
 * Schedules probes. The total rate and the number of open probes are limited, because containers choose how many checks
 * they have. Containers start probes in rotation, and each has at most 8 open probes, so that many or unanswered checks
 * of one container delay mainly that container's checks.
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
/** After a pause, the number of probes that would take this time may start at once. */
const BURST_MS = 100;

type StartProbe = () => void;

/** One container's waiting and open probes. */
interface ContainerShare {
  readonly waiting: Set<StartProbe>;
  open: number;
}

export class ProbeScheduler {
  readonly #clock: Clock;
  readonly #maxOpen: number;
  readonly #maxOpenOfContainer: number;
  /** The average time between two starts. */
  readonly #spacingMs: number;
  readonly #shares = new Map<ContainerId, ContainerShare>();
  /** Containers with a waiting probe that may start, the next one first. */
  readonly #queue = new Set<ContainerId>();
  #open = 0;
  /** The time of the next start; at most a burst behind the clock. */
  #nextStartMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;

  constructor(options: ProbeSchedulerOptions) {
    this.#clock = options.clock;
    this.#maxOpen = options.maxOpen ?? MAX_OPEN;
    this.#maxOpenOfContainer = options.maxOpenOfContainer ?? MAX_OPEN_OF_CONTAINER;
    this.#spacingMs = 1000 / (options.maxPerSecond ?? MAX_PER_SECOND);
  }

  /**
   * Starts the probe when the container is next, and resolves to its result; false if aborted before. Never rejects.
   */
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

  /** Resolves to false if the wait was aborted. */
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

  /** Adds the container to the queue, keeps its position, or removes it. Deletes a share without probes. */
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
