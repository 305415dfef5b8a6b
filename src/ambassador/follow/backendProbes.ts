/**
 * Connects to each backend from time to time, from this host. Two failures in a row leave a backend out here, and one
 * success brings it back. If all backends of a route fail, all of them serve: the probe may be what is broken.
 */
import { printSocketAddress, type SocketAddress } from '../../dns/address.ts';
import type { Clock, Timer } from '../../timing/clock.ts';
import type { Backend } from '../route.ts';

export interface BackendProbesOptions {
  readonly everyMs: number;
  /** Connects and disconnects; resolves whether the connection was accepted in time. Must not reject. */
  readonly connect: (backend: SocketAddress, timeoutMs: number) => Promise<boolean>;
  /** The TCP backends to which routes may lead now, before `withoutFailed`. */
  readonly backends: () => Iterable<SocketAddress>;
  readonly clock: Clock;
  /** A backend was left out, or came back. */
  readonly onChange: (backend: SocketAddress, isUp: boolean) => void;
}

/** A backend that answers later than this has failed, even if probes are rarer. */
const MOST_TIMEOUT_MS = 2_000;
const FAILURES_TO_LEAVE_OUT = 2;
const PROBES_AT_ONCE = 64;

export class BackendProbes {
  readonly #options: BackendProbesOptions;
  readonly #failuresInARow = new Map<string, number>();
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(options: BackendProbesOptions) {
    this.#options = options;
  }

  start(): void {
    const { clock, everyMs } = this.#options;
    this.#timer = clock.startTimer(everyMs, () => {
      void this.#probeAll().then(() => {
        if (!this.#isClosed) this.start();
      });
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  isUp(backend: SocketAddress): boolean {
    return (this.#failuresInARow.get(printSocketAddress(backend)) ?? 0) < FAILURES_TO_LEAVE_OUT;
  }

  /** The backends that have not failed; all of them if all have that the route may lead to. */
  withoutFailed(
    backends: readonly Backend[],
    mayServe: (backend: Backend) => boolean,
  ): readonly Backend[] {
    if (this.#failuresInARow.size === 0) return backends;
    const up = backends.filter((backend) => this.isUp(backend));
    return up.some(mayServe) ? up : backends;
  }

  async #probeAll(): Promise<void> {
    const due = new Map<string, SocketAddress>();
    for (const backend of this.#options.backends()) due.set(printSocketAddress(backend), backend);
    for (const id of this.#failuresInARow.keys()) if (!due.has(id)) this.#failuresInARow.delete(id);
    const queue = [...due].values();
    const worker = async (): Promise<void> => {
      for (const [id, backend] of queue) await this.#probe(id, backend);
    };
    await Promise.all(Array.from({ length: PROBES_AT_ONCE }, worker));
  }

  async #probe(id: string, backend: SocketAddress): Promise<void> {
    const { connect, everyMs, onChange } = this.#options;
    const wasUp = this.isUp(backend);
    const isConnected = await connect(backend, Math.min(MOST_TIMEOUT_MS, everyMs));
    if (this.#isClosed) return;
    if (isConnected) this.#failuresInARow.delete(id);
    else this.#failuresInARow.set(id, (this.#failuresInARow.get(id) ?? 0) + 1);
    const isUp = this.isUp(backend);
    if (isUp !== wasUp) onChange(backend, isUp);
  }
}
