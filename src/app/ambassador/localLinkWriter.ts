/**
 * Keeps the links of consumers at their own 127.0.0.1 too, where they ask for it. Each start of a container has a network
 * of its own, so its table is written at every start, by a thread: the kernel takes milliseconds for it.
 */
import type { Worker } from 'node:worker_threads';
import type { LocalLinks, LocalLinksReport } from '../../ambassador/nft/localLinks.ts';
import { isInRange } from '../../ambassador/vipRange.ts';
import { startThread } from '../../dataplane/listeners/threads.ts';
import type { Log } from '../../observability/log.ts';
import type { Consumer } from '../../registrar/links/consumers.ts';
import type { ContainerLink, PortLink } from '../../registrar/links/links.ts';
import { backoffMs } from '../../timing/backoff.ts';
import { type Clock, systemClock, type Timer } from '../../timing/clock.ts';
import { ownNetworks } from './hostPlane.ts';

const ENTRY = new URL(
  import.meta.url.endsWith('.ts')
    ? '../../ambassador/nft/localLinksMain.ts'
    : '../../ambassador/nft/localLinksMain.js',
  import.meta.url,
);

export interface LocalLinkWriterOptions {
  readonly log: Log;
  readonly clock?: Clock;
  /** The file that the thread runs; tests set it. */
  readonly entry?: URL;
}

/** The kernel may be short of memory, or the container's process not have entered its network. */
const RETRY = { minMs: 1_000, maxMs: 60_000 };

export class LocalLinkWriter {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #entry: URL;
  #consumers: readonly Consumer[] = [];
  #retry: Timer | undefined;
  #failuresInARow = 0;
  /** By container: what the thread was told to write for its current start, and has not refused. */
  readonly #written = new Map<string, string>();
  /** Reasons that were logged. */
  readonly #refusals = new Set<string>();
  #worker: Worker | undefined;

  constructor({ log, clock = systemClock, entry = ENTRY }: LocalLinkWriterOptions) {
    this.#log = log;
    this.#clock = clock;
    this.#entry = entry;
  }

  /** Takes all consumers of the host, in place of the ones before. */
  set(consumers: readonly Consumer[]): void {
    this.#consumers = consumers;
    const present = new Set<string>();
    const asking = consumers.filter(({ links }) => links.some(isLocal));
    const networks = asking.length === 0 ? [] : ownNetworks();
    for (const consumer of asking) {
      const links = localLinksOf(consumer, networks);
      if (links === undefined) continue;
      present.add(links.id);
      const text = JSON.stringify([consumer.startedAt, links]);
      if (this.#written.get(links.id) === text) continue;
      this.#written.set(links.id, text);
      this.#thread().postMessage(links);
    }
    for (const id of [...this.#written.keys()]) if (!present.has(id)) this.#written.delete(id);
  }

  async close(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    this.#retry?.cancel();
    await worker?.terminate();
  }

  #thread(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const worker = startThread(this.#entry, { name: 'local-links' });
    this.#worker = worker;
    worker.unref();
    worker.on('message', (report: LocalLinksReport) => {
      if (this.#worker === worker) this.#onReport(report);
    });
    worker.on('error', (err) => this.#log.error({ err }, 'the thread of local links ended'));
    worker.on('exit', () => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      // The next change of the host's containers writes all again.
      this.#written.clear();
    });
    return worker;
  }

  /** A reason concerns the rights of this process, so it is logged once. */
  #onReport({ id, refusal }: LocalLinksReport): void {
    if (refusal === undefined) {
      this.#failuresInARow = 0;
      return;
    }
    this.#written.delete(id);
    this.#retryLater();
    if (this.#refusals.has(refusal)) return;
    this.#refusals.add(refusal);
    const message = "a container's links are not at its 127.0.0.1, only at the host's addresses";
    this.#log.warn({ container: id, cause: refusal }, message);
  }

  #retryLater(): void {
    if (this.#retry !== undefined) return;
    const waitMs = backoffMs(++this.#failuresInARow, RETRY);
    this.#retry = this.#clock.startTimer(waitMs, () => {
      this.#retry = undefined;
      this.set(this.#consumers);
    });
  }
}

function isLocal(link: ContainerLink): link is PortLink {
  return link.kind === 'port' && link.isLocal;
}

/** Undefined if the consumer has no IPv4 network with this host. */
function localLinksOf(
  { shortId, pid, addresses, links }: Consumer,
  networks: ReturnType<typeof ownNetworks>,
): LocalLinks | undefined {
  if (pid === undefined || pid <= 0) return undefined;
  const ports = links.filter(isLocal).map(({ port }) => port);
  for (const { address, family } of addresses) {
    if (family !== 4) continue;
    const near = networks.find(({ range }) => isInRange(range, address));
    if (near !== undefined) return { id: shortId, pid, gateway: near.address, ports };
  }
  return undefined;
}
