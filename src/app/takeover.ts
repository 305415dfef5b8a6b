/**
 * Replacing a server while it answers (`--takeover`). The new one reads the store first and only then shares the old
 * one's addresses; the old one, told to end, has the kernel give everything new to its successor, answers what it has,
 * and is gone.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { SocketAddress } from '../dns/address.ts';
import { encodeQuery } from '../dns/encode.ts';
import type { DnsClient, Respond } from '../dns/message.ts';
import type { Name } from '../dns/name.ts';
import { Type } from '../dns/rr.ts';
import type { Log } from '../observability/log.ts';
import { asInTable, openSockets, readSockets } from '../server/socketTable.ts';
import { withDeadline } from '../timing/deadline.ts';
import type { Node } from '../zone/tree.ts';
import type { HttpOutcome, StartRefusal } from './httpServer.ts';

/** Whether the new server may have the addresses, or why not. */
export type TakeoverOutcome =
  | { readonly kind: 'ready' }
  /** It was told to stop meanwhile. */
  | { readonly kind: 'stopped' }
  | StartRefusal;

/** A server that has nothing to say yet must not take questions from one that has. */
const STORE_TIMEOUT_MS = 60_000;

const LATE: TakeoverOutcome = {
  kind: 'refused',
  code: 'unreachable',
  reason: `--takeover: the store was not read within ${STORE_TIMEOUT_MS / 1000} s; the other server goes on`,
};

export interface TakeoverParts {
  readonly loaded: Promise<unknown>;
  /** Fills the table. */
  readonly warmUp: () => Promise<void>;
  readonly udp: { begin(): Promise<void> };
}

/** Gets everything ready but the addresses. */
export async function prepareTakeover(
  parts: TakeoverParts,
  stop?: AbortSignal,
): Promise<TakeoverOutcome> {
  const read = await readFirst(parts.loaded, stop);
  if (read.kind !== 'ready') return read;
  await parts.warmUp();
  await parts.udp.begin();
  return stop?.aborted ? { kind: 'stopped' } : read;
}

async function readFirst(loaded: Promise<unknown>, stop?: AbortSignal): Promise<TakeoverOutcome> {
  return withDeadline(
    loaded.then((): TakeoverOutcome => ({ kind: 'ready' })),
    STORE_TIMEOUT_MS,
    (end): TakeoverOutcome => (end === 'timeout' ? LATE : { kind: 'stopped' }),
    { signal: stop },
  );
}

const HTTP_RETRY_MS = 100;

/** HTTP as soon as the predecessor leaves it. */
export function httpLater(start: () => Promise<HttpOutcome>, log: Log): Promise<HttpOutcome> {
  return new RetriedStart(start, log).begin();
}

class RetriedStart {
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

/** Asking ourselves before anybody else does, so that answers are in the table, and the code that makes them is fast. */

const TYPES = [Type.A, Type.AAAA, Type.SRV];
/** What was not asked by then is worked out when it is. */
const MAX_QUESTIONS = 30_000;
const MAX_MS = 2_000;
/** After so much work in a row the rest of the process gets its turn. */
const SLICE_MS = 8;

const OURSELVES: DnsClient = { transport: 'udp', address: '127.0.0.1', port: 1 };

/** Asks for the names below `root`, as many as there is time for. */
export async function warmUp(root: Node, respond: Respond): Promise<void> {
  const beganMs = performance.now();
  let sliceFromMs = beganMs;
  let asked = 0;
  for (const name of namesBelow(root)) {
    for (const type of TYPES) respond(queryFor(name, type), OURSELVES, () => {});
    asked += TYPES.length;
    const nowMs = performance.now();
    if (asked >= MAX_QUESTIONS || nowMs - beganMs > MAX_MS) return;
    if (nowMs - sliceFromMs < SLICE_MS) continue;
    await new Promise((resolve) => setImmediate(resolve));
    sliceFromMs = performance.now();
  }
}

function* namesBelow(root: Node): Generator<Name> {
  const waiting = [root];
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    yield node.owner();
    for (const child of node.children ?? []) waiting.push(child);
  }
}

function queryFor(qname: Name, qtype: number): Uint8Array {
  const question = { qname, qtype, qclass: 1 };
  const flags = { recursionDesired: false, checkingDisabled: false };
  return encodeQuery({ id: 0, question, edns: undefined, ...flags });
}

/** Whether another process shares our addresses already: a successor that was started to take them over. */

/** True if each of the addresses has a socket of somebody else's beside ours, for UDP and for TCP. Only on Linux. */
export async function hasSuccessor(endpoints: readonly SocketAddress[]): Promise<boolean> {
  const own = await openSockets('self');
  if (own.size === 0 || endpoints.length === 0) return false;
  for (const transport of ['udp', 'tcp'] as const) {
    const others = (await readSockets(transport)).filter(
      ({ isListening, inode }) => isListening && !own.has(inode),
    );
    const isShared = ({ address, port }: SocketAddress): boolean =>
      others.some((other) => other.port === port && other.address === asInTable(address));
    if (!endpoints.every(isShared)) return false;
  }
  return true;
}
