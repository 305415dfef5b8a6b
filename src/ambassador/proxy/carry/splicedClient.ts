/** A client of a `SpliceCarrier` as the proxy's thread knows it; the carrying thread has its sockets. */
import { clientAddress, type SocketAddress } from '../../../dns/address.ts';
import { systemError } from '../../../kernel/libc.ts';
import {
  type AcceptedClient,
  type AttemptFollower,
  type BegunAttempt,
  type ConnectAttempt,
  type ConnectFailure,
  connectFailureOf,
} from './carrier.ts';
import type { KernelSockets } from './kernelSockets.ts';
import {
  begunAttempt,
  type SpliceMemory,
  type SpliceOrder,
  type SpliceReport,
} from './spliceMessages.ts';

/** What clients need of their carrier. */
export interface ClientContext {
  readonly memory: SpliceMemory;
  readonly sockets: KernelSockets;
  readonly order: (order: SpliceOrder) => void;
  readonly nextAttempt: () => number;
  readonly forget: (client: number) => void;
}

export class SplicedClient implements AcceptedClient {
  readonly peer: SocketAddress | undefined;
  readonly begun?: BegunAttempt;
  readonly #client: number;
  readonly #fd: number;
  readonly #context: ClientContext;
  #attempt = 0;
  #follower: AttemptFollower | undefined;
  #isConnected = false;
  /** Its thread has ended, and its descriptor may be another client's. */
  #isLost = false;

  constructor(
    { client, fd, peer, to }: Extract<SpliceReport, { kind: 'accepted' }>,
    isOutdated: boolean,
    context: ClientContext,
  ) {
    this.peer = peer;
    this.#client = client;
    this.#fd = fd;
    this.#context = context;
    if (to === undefined) return;
    this.#attempt = begunAttempt(client);
    this.begun = {
      backend: to,
      isOutdated,
      follow: (follower) => {
        this.#follower = follower;
        return this.#attemptOf(this.#attempt);
      },
    };
  }

  /** Its descriptor is its own until a backend has accepted: the thread closes no other client unasked. */
  localEnd(): SocketAddress | undefined {
    const end = this.#isLost ? undefined : this.#context.sockets.localEnd(this.#fd);
    return end && { address: clientAddress(end.address), port: end.port };
  }

  connect(
    to: SocketAddress,
    header: Uint8Array | undefined,
    follower: AttemptFollower,
  ): ConnectAttempt {
    const { memory, order, nextAttempt } = this.#context;
    const attempt = nextAttempt();
    this.#attempt = attempt;
    this.#follower = follower;
    if (this.#isLost) {
      queueMicrotask(() => this.#lose());
      return {
        cancel: () => {
          this.#follower = undefined;
          return true;
        },
      };
    }
    memory.offer(this.#fd, attempt);
    order({ kind: 'connect', client: this.#client, attempt, to, header });
    return this.#attemptOf(attempt);
  }

  #attemptOf(attempt: number): ConnectAttempt {
    const { memory, order } = this.#context;
    return {
      cancel: () => {
        if (!memory.cancel(this.#fd, attempt)) return false;
        if (this.#attempt === attempt) this.#follower = undefined;
        order({ kind: 'cancel', client: this.#client, attempt });
        return true;
      },
    };
  }

  reset(): void {
    this.#context.order({ kind: 'reset', client: this.#client });
    if (this.#isConnected) return;
    this.#follower = undefined;
    this.#context.forget(this.#client);
  }

  onConnected(): void {
    this.#isConnected = true;
    this.#follower?.onConnected();
  }

  onFailed(attempt: number, errno: number): void {
    this.#fail(attempt, connectFailureOf(systemError(errno, 'connect')));
  }

  onClosed(): void {
    this.#context.forget(this.#client);
    this.#follower?.onClosed();
  }

  onThreadLost(): void {
    this.#isLost = true;
    this.#lose();
  }

  #lose(): void {
    const follower = this.#follower;
    this.#follower = undefined;
    follower?.onClosed();
  }

  #fail(attempt: number, reason: ConnectFailure): void {
    if (attempt !== this.#attempt) return;
    const follower = this.#follower;
    this.#follower = undefined;
    follower?.onFailed(reason);
  }
}
