/**
 * DNS over UDP by worker threads on batched sockets: the listener as the main thread has it. It makes the sockets, one of
 * each address for each worker, and answers what the workers hand over.
 */
import {
  counterBlock,
  DROP_REASONS,
  type DropReason,
  newCounterMemory,
  Single,
  Slot,
  sumCounters,
} from './counters.ts';
import { HandedPackets } from './handedPackets.ts';
import { newRingMemory } from './handover.ts';
import type { Bound } from './listener.ts';
import { Misses } from './misses.ts';
import { createOwnAddresses } from './ownAddresses.ts';
import type { UdpCounters, UdpListener, UdpListenerOptions } from './portable.ts';
import type { AddressRange } from './recursionRanges.ts';
import { systemError } from './sockets/errno.ts';
import type { Libc } from './sockets/libc.ts';
import { ReplySender } from './sockets/sender.ts';
import { SocketMaker, type UdpSocket } from './sockets/socket.ts';
import type { TableHandle } from './table/layout.ts';
import {
  clockOriginMs,
  LinkBoard,
  newLinkMemory,
  type Report,
  type WorkerStart,
} from './workerLink.ts';
import { WorkerThreads } from './workerThreads.ts';

export interface WorkerListenerOptions extends UdpListenerOptions {
  readonly libc: Libc;
  readonly workers: number;
  /** Where workers find answers; without it every question goes to `respond`. */
  readonly table?: TableHandle | undefined;
  /** Blocks for the main thread, whose is the first, and for each worker. */
  readonly counterMemory?: SharedArrayBuffer | undefined;
  /** Clients for whom names outside our zones may be looked up, while that is offered. */
  readonly recursionRanges?: readonly AddressRange[] | undefined;
  /** A worker died, maybe in the middle of a batch. Called before it has a successor. */
  readonly onWorkerGone?: ((thread: number) => void) | undefined;
  /** What a worker thread runs, for tests. */
  readonly entry?: URL | undefined;
}

export interface WorkerListener extends UdpListener {
  /** Whether replies to those who may ask for recursion say that it is available. */
  offerRecursion(offered: boolean): void;
}

export function createWorkerListener(options: WorkerListenerOptions): WorkerListener {
  const workers = new Workers(options);
  return {
    listen: (address, port, fd) => workers.listen(address, port, fd),
    stop: () => workers.stop(),
    close: () => workers.close(),
    counters: () => workers.counters(),
    offerRecursion: (offered) => workers.offerRecursion(offered),
  };
}

const ENTRY = new URL(
  import.meta.url.endsWith('.ts') ? './udpWorker.ts' : './udpWorker.js',
  import.meta.url,
);

const MAIN_THREAD = 0;
/** How long the end of a socket may be put off by answering what was handed over. */
const FINISH_MS = 500;
/** Errors of reading come by the hundred. */
const TELL_EVERY_MS = 1_000;

/** The sockets of one address, one for each worker. */
interface Group {
  readonly sockets: readonly UdpSocket[];
  isOpen: boolean;
}

class Workers {
  readonly #options: WorkerListenerOptions;
  readonly #counterMemory: SharedArrayBuffer;
  readonly #ringMemory: SharedArrayBuffer;
  readonly #linkMemory: SharedArrayBuffer;
  readonly #board: LinkBoard;
  readonly #own = createOwnAddresses();
  readonly #maker: SocketMaker;
  readonly #misses: Misses;
  readonly #threads: WorkerThreads;
  readonly #groups = new Map<number, Group>();
  #stopping: Promise<void> | undefined;
  #readErrors = 0;
  #toldMs = Number.NEGATIVE_INFINITY;

  constructor(options: WorkerListenerOptions) {
    const { workers, libc, respond } = options;
    this.#options = options;
    this.#counterMemory = options.counterMemory ?? newCounterMemory(workers + 1);
    this.#ringMemory = newRingMemory(workers);
    this.#linkMemory = newLinkMemory(workers);
    this.#board = new LinkBoard(this.#linkMemory);
    this.#maker = new SocketMaker(libc);
    const packets = new HandedPackets({
      respond,
      sender: new ReplySender(libc),
      counters: counterBlock(this.#counterMemory, MAIN_THREAD),
      isOwn: this.#own.has,
      socketOf: (fd) => this.#groups.get(fd),
    });
    this.#misses = new Misses({
      ringMemory: this.#ringMemory,
      workers,
      board: this.#board,
      answer: (handed) => packets.answer(handed),
    });
    this.#threads = new WorkerThreads({
      workers,
      entry: options.entry ?? ENTRY,
      board: this.#board,
      start: this.#starts(),
      onReport: (report) => this.#hear(report),
      onGone: (thread, error) => this.#lose(thread, error),
    });
  }

  async listen(address: string, port: number, fd?: number): Promise<Bound> {
    const { workers } = this.#options;
    const sockets =
      fd === undefined
        ? this.#maker.open({ address, port }, workers)
        : new Array<UdpSocket>(workers).fill(this.#maker.adopt(fd));
    const first = sockets[0] as UdpSocket;
    const group = { sockets, isOpen: true };
    for (const socket of sockets) this.#groups.set(socket.fd, group);
    this.#own.add(first.address, first.port);
    void this.#assign(); // the kernel keeps what comes before they are there
    return {
      address: first.address,
      port: first.port,
      close: () => this.#closeGroup(group),
    };
  }

  /** Resolves when all that arrived before was given to `respond`. */
  stop(): Promise<void> {
    this.#stopping ??= this.#threads.stop().then(() => {
      this.#misses.finish(FINISH_MS);
      this.#misses.close();
    });
    return this.#stopping;
  }

  async close(): Promise<void> {
    await this.stop();
    for (const group of new Set(this.#groups.values())) this.#free(group);
  }

  counters(): UdpCounters {
    const sums = sumCounters(this.#counterMemory);
    const at = (slot: number): number => sums[slot] as number;
    const dropped = (...reasons: readonly DropReason[]): number =>
      reasons.reduce((sum, reason) => sum + at(Slot.drop + DROP_REASONS.indexOf(reason)), 0);
    return {
      queries: at(Single.received) - dropped('sourcePortZero', 'ownAddress', 'overload'),
      replies: at(Single.sent),
      sourcePortZero: dropped('sourcePortZero'),
      ownAddress: dropped('ownAddress'),
      shed: dropped('overload'),
      sendErrors: dropped('noRoom', 'forbidden', 'unreachable', 'tooLong', 'otherSendError'),
      socketErrors: this.#readErrors,
    };
  }

  offerRecursion(offered: boolean): void {
    this.#board.offerRecursion(offered);
  }

  #starts(): (thread: number) => WorkerStart {
    const shared = {
      linkMemory: this.#linkMemory,
      ringMemory: this.#ringMemory,
      counterMemory: this.#counterMemory,
      recursionRanges: this.#options.recursionRanges ?? [],
      table: this.#options.table,
      mainClockOriginMs: clockOriginMs(),
    };
    return (thread) => ({ ...shared, thread });
  }

  /** Gives each worker its socket of each group that is open. */
  #assign(): Promise<void> {
    const groups = [...new Set(this.#groups.values())].filter(({ isOpen }) => isOpen);
    return this.#threads.assign(
      Array.from({ length: this.#options.workers }, (_, i) =>
        groups.map(({ sockets }) => sockets[i] as UdpSocket),
      ),
    );
  }

  async #closeGroup(group: Group): Promise<void> {
    if (!group.isOpen) return;
    group.isOpen = false;
    await this.#assign();
    this.#misses.finish(FINISH_MS);
    this.#free(group);
  }

  /** To be called when no thread touches the sockets any more: their numbers will be others' soon. */
  #free(group: Group): void {
    group.isOpen = false;
    for (const { fd, address, port } of new Set(group.sockets)) {
      this.#own.remove(address, port);
      if (this.#groups.delete(fd)) this.#options.libc.close(fd);
    }
  }

  #hear(report: Report): void {
    if (report.kind === 'handedOver') this.#misses.turn();
    if (report.kind !== 'readError') return;
    this.#readErrors += 1;
    if (performance.now() < this.#toldMs + TELL_EVERY_MS) return;
    this.#toldMs = performance.now();
    this.#options.onError?.(systemError(report.errno, 'recvmmsg'));
  }

  #lose(thread: number, cause: Error): void {
    this.#options.onError?.(
      new Error(`UDP worker ${thread} died: ${cause.message}; it is replaced`, { cause }),
    );
    this.#misses.mend(thread);
    this.#options.onWorkerGone?.(thread);
    this.#misses.turn();
  }
}
