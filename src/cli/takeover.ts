/**
 * Replacing a server while it answers (`--takeover`). The new one reads the store first and only then shares the old
 * one's addresses; the old one, told to end, has the kernel give everything new to its successor, answers what it has,
 * and is gone.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { SocketAddress } from '../dns/socketAddress.ts';
import type { Log } from '../log.ts';
import { hasSuccessor } from '../server/successor.ts';
import type { HttpOutcome, Refused } from './httpServer.ts';
import { stopped } from './stopping.ts';

/** Whether the new server may have the addresses, or why not. */
export type Prepared =
  | { readonly kind: 'ready' }
  /** It was told to stop meanwhile. */
  | { readonly kind: 'stopped' }
  | Refused;

/** A server that has nothing to say yet must not take questions from one that has. */
const STORE_TIMEOUT_MS = 60_000;

const LATE: Prepared = {
  kind: 'refused',
  code: 'unreachable',
  reason: `--takeover: the store was not read within ${STORE_TIMEOUT_MS / 1000} s; the other server goes on`,
};

export interface TakingOver {
  readonly loaded: Promise<unknown>;
  /** Fills the table. */
  readonly warmUp: () => Promise<void>;
  readonly udp: { begin(): Promise<void> };
}

/** Gets everything ready but the addresses. */
export async function prepareTakeover(parts: TakingOver, stop?: AbortSignal): Promise<Prepared> {
  const read = await readFirst(parts.loaded, stop);
  if (read.kind !== 'ready') return read;
  await parts.warmUp();
  await parts.udp.begin();
  return stop?.aborted ? { kind: 'stopped' } : read;
}

async function readFirst(loaded: Promise<unknown>, stop?: AbortSignal): Promise<Prepared> {
  const decided = new AbortController();
  const late = pause(STORE_TIMEOUT_MS, LATE, { signal: decided.signal }).catch(() => LATE);
  const outcome = await Promise.race([
    late,
    loaded.then((): Prepared => ({ kind: 'ready' })),
    ...(stop ? [stopped(stop).then((): Prepared => ({ kind: 'stopped' }))] : []),
  ]);
  decided.abort();
  return outcome;
}

const HTTP_RETRY_MS = 100;

/** HTTP as soon as the predecessor leaves it. */
export function httpLater(start: () => Promise<HttpOutcome>, log: Log): Promise<HttpOutcome> {
  return new Later(start, log).begin();
}

class Later {
  readonly #start: () => Promise<HttpOutcome>;
  readonly #log: Log;
  #close: () => Promise<void> = async () => {};
  #trying: Promise<void> | undefined;
  #isClosed = false;

  constructor(start: () => Promise<HttpOutcome>, log: Log) {
    this.#start = start;
    this.#log = log;
  }

  async begin(): Promise<HttpOutcome> {
    const first = await this.#start();
    if (first.kind === 'started' || first.code !== 'unreachable') return first;
    this.#log.info({}, 'HTTP is served once the other server has ended');
    this.#trying = this.#tryOn();
    const close = async (): Promise<void> => {
      this.#isClosed = true;
      await this.#trying;
      await this.#close();
    };
    return { kind: 'started', endpoint: undefined, close };
  }

  async #tryOn(): Promise<void> {
    while (!this.#isClosed) {
      await pause(HTTP_RETRY_MS);
      const outcome = await this.#start();
      if (outcome.kind === 'refused') continue;
      this.#close = outcome.close;
      this.#log.info({}, 'HTTP is served');
      return;
    }
  }
}

interface GivingWay {
  giveWay(): void;
}

/** Packets that the kernel has given to our sockets meanwhile are there by then. */
const SETTLE_MS = 300;

/** Leaves what comes from now on to a successor, if there is one. Gives how long to go on answering at least. */
export async function giveWay(
  endpoints: readonly SocketAddress[],
  listeners: readonly GivingWay[],
  log: Log,
): Promise<number> {
  if (!(await hasSuccessor(endpoints))) return 0;
  try {
    for (const listener of listeners) listener.giveWay();
    log.info({}, 'a successor answers from now on');
  } catch (err) {
    log.warn({ err }, 'cannot give way to the successor; it gets everything at the end');
  }
  return SETTLE_MS;
}
