/**
 * DNS over UDP by worker threads on batched sockets: the main thread's part. It makes the sockets, one for each address
 * and worker, and answers the misses that the workers hand over.
 */
import { type Libc, systemError } from '../../kernel/libc.ts';
import type { ClientPolicy } from '../sockets/clientPolicy.ts';
import { ReplySender } from '../sockets/sender.ts';
import { SocketMaker, type UdpSocket } from '../sockets/socket.ts';
import { newCounterMemory } from '../table/counters.ts';
import {
  clockOriginMs,
  MainChannel,
  newChannelMemory,
  type WorkerReport,
  type WorkerStart,
} from './controlChannel.ts';
import { newRingMemory } from './handover.ts';
import { MissResponder } from './missResponder.ts';
import { MissScheduler } from './missScheduler.ts';
import { createOwnAddresses } from './ownAddresses.ts';
import { WorkerThreads } from './threads.ts';
import {
  BLOCKS_PER_THREAD,
  type Bound,
  type FamilyBlock,
  familyBlock,
  familyBlocks,
  type UdpCounters,
  type UdpListener,
  type UdpListenerOptions,
  udpCounters,
} from './udpListener.ts';

export interface WorkerListenerOptions extends UdpListenerOptions {
  readonly libc: Libc;
  readonly workers: number;
  /** Share the addresses with a running server of the same user. */
  readonly joins?: boolean | undefined;
  /** A worker died, possibly in the middle of a batch. Called before a new one starts on its thread number. */
  readonly onWorkerGone?: ((thread: number) => void) | undefined;
  /** The file that a worker thread runs; tests set it. */
  readonly entry?: URL | undefined;
}

/** The worker threads start with the first address. */
export function createWorkerListener(options: WorkerListenerOptions): UdpListener {
  return new WorkerListener(options);
}

const ENTRY = new URL(
  import.meta.url.endsWith('.ts') ? './workerMain.ts' : './workerMain.js',
  import.meta.url,
);

const MAIN_THREAD = 0;
/** For how long misses are answered before a socket is closed. */
const DRAIN_MS = 500;
/** Read errors can come by the hundred: only one is reported in this time. */
const REPORT_EVERY_MS = 1_000;

/** The sockets of one address, one for each worker. */
interface SocketGroup {
  readonly sockets: readonly UdpSocket[];
  readonly family: 4 | 6;
  readonly address: string;
  readonly port: number;
  /** Workers read these sockets. */
  isRead: boolean;
  /** The sockets are not closed: replies can be sent. */
  isOpen: boolean;
}

class WorkerListener implements UdpListener {
  readonly blocks: readonly FamilyBlock[];
  readonly #options: WorkerListenerOptions;
  readonly #slow = { queries: 0, replies: 0, socketErrors: 0 };
  readonly #counterMemory: SharedArrayBuffer;
  readonly #ringMemory: SharedArrayBuffer;
  readonly #channelMemory: SharedArrayBuffer;
  readonly #channel: MainChannel;
  readonly #own = createOwnAddresses();
  readonly #maker: SocketMaker;
  readonly #misses: MissScheduler;
  readonly #threads: WorkerThreads;
  readonly #groups = new Map<number, SocketGroup>();
  #stopping: Promise<void> | undefined;
  #reportedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: WorkerListenerOptions) {
    const { workers, libc, respond } = options;
    this.#options = options;
    this.#counterMemory = newCounterMemory((workers + 1) * BLOCKS_PER_THREAD);
    this.blocks = familyBlocks(this.#counterMemory, workers + 1);
    this.#ringMemory = newRingMemory(workers);
    this.#channelMemory = newChannelMemory(workers);
    this.#channel = new MainChannel(this.#channelMemory);
    this.#maker = new SocketMaker(libc);
    const missResponder = new MissResponder({
      respond,
      sender: new ReplySender(libc),
      counters: {
        4: familyBlock(this.#counterMemory, MAIN_THREAD, 4),
        6: familyBlock(this.#counterMemory, MAIN_THREAD, 6),
      },
      slow: this.#slow,
      isOwn: this.#own.has,
      socketOf: (fd) => this.#groups.get(fd),
    });
    this.#misses = new MissScheduler({
      ringMemory: this.#ringMemory,
      workers,
      channel: this.#channel,
      answer: (miss) => missResponder.answer(miss),
    });
    this.#threads = new WorkerThreads({
      workers,
      entry: options.entry ?? ENTRY,
      channel: this.#channel,
      start: this.#workerStarts(),
      onReport: (report) => this.#onReport(report),
      onGone: (thread, error) => this.#onWorkerGone(thread, error),
    });
  }

  begin(): Promise<void> {
    return this.#assign();
  }

  async listen(address: string, port: number, fd?: number): Promise<Bound> {
    const { workers } = this.#options;
    const sockets =
      fd === undefined
        ? this.#maker.open({ address, port }, workers, this.#options.joins)
        : new Array<UdpSocket>(workers).fill(this.#maker.adopt(fd));
    const first = sockets[0] as UdpSocket;
    const { family, address: boundTo, port: boundPort } = first;
    const bound = { family, address: boundTo, port: boundPort };
    const group: SocketGroup = { ...bound, sockets, isRead: true, isOpen: true };
    for (const socket of sockets) this.#groups.set(socket.fd, group);
    this.#own.add(first.address, first.port);
    void this.#assign(); // The kernel keeps the packets that come before the workers run.
    return {
      address: first.address,
      port: first.port,
      close: () => this.#closeGroup(group),
    };
  }

  /** Resolves when `respond` has received all packets that arrived before. */
  stop(): Promise<void> {
    this.#stopping ??= this.#threads.stop().then(() => {
      this.#misses.drain(DRAIN_MS);
      this.#misses.close();
    });
    return this.#stopping;
  }

  async close(): Promise<void> {
    await this.stop();
    for (const group of new Set(this.#groups.values())) this.#closeSockets(group);
  }

  /** Leaves out inherited sockets: a successor has the same ones. */
  divertToSuccessor(): void {
    for (const { sockets } of new Set(this.#groups.values()))
      for (const socket of sockets) if (socket.blocking) this.#maker.divertPackets(socket);
  }

  setPolicy(policy: ClientPolicy): void {
    this.#threads.setPolicy(policy);
  }

  counters(): UdpCounters {
    return udpCounters(this.blocks, this.#slow);
  }

  #workerStarts(): (thread: number) => WorkerStart {
    const shared = {
      channelMemory: this.#channelMemory,
      ringMemory: this.#ringMemory,
      counterMemory: this.#counterMemory,
      table: this.#options.table,
      tap: this.#options.tap?.start,
      mainClockOriginMs: clockOriginMs(),
    };
    return (thread) => ({ ...shared, thread });
  }

  /** Assigns to each worker its socket of each group that is read. */
  #assign(): Promise<void> {
    const groups = [...new Set(this.#groups.values())].filter(({ isRead }) => isRead);
    return this.#threads.assign(
      Array.from({ length: this.#options.workers }, (_, i) =>
        groups.map(({ sockets }) => sockets[i] as UdpSocket),
      ),
    );
  }

  async #closeGroup(group: SocketGroup): Promise<void> {
    if (!group.isRead) return;
    group.isRead = false;
    await this.#assign();
    this.#misses.drain(DRAIN_MS);
    this.#closeSockets(group);
  }

  /** Call this when no thread uses the sockets, because the kernel reuses their numbers. */
  #closeSockets(group: SocketGroup): void {
    group.isOpen = false;
    for (const { fd, address, port } of new Set(group.sockets)) {
      this.#own.remove(address, port);
      if (this.#groups.delete(fd)) this.#options.libc.close(fd);
    }
  }

  #onReport(report: WorkerReport): void {
    if (report.kind === 'handedOver') this.#misses.run();
    if (report.kind === 'tapped') this.#options.tap?.wake();
    if (report.kind !== 'readError') return;
    this.#slow.socketErrors += 1;
    if (performance.now() < this.#reportedAtMs + REPORT_EVERY_MS) return;
    this.#reportedAtMs = performance.now();
    this.#options.onError?.(systemError(report.errno, 'recvmmsg'));
  }

  #onWorkerGone(thread: number, cause: Error): void {
    this.#options.onError?.(
      new Error(`UDP worker ${thread} died: ${cause.message}; it is replaced`, { cause }),
    );
    this.#misses.releaseBusySlots(thread);
    this.#options.onWorkerGone?.(thread);
    this.#misses.run();
  }
}
