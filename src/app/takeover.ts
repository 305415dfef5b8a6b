/**
 * Replaces a running server without a gap (`--takeover`). The new server reads the store first and only then shares the
 * addresses. The old server, once it gets SIGTERM, makes the kernel give new packets to its successor, answers the
 * packets that it has, and exits.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { SocketAddress } from '../dns/address.ts';
import { encodeQuery } from '../dns/encode.ts';
import type { DnsClient, Respond } from '../dns/message.ts';
import type { Name } from '../dns/name.ts';
import { Type } from '../dns/rr.ts';
import type { Log } from '../observability/log.ts';
import { asInTable, openSockets, readSockets } from '../server/listening/socketTable.ts';
import { withDeadline } from '../timing/deadline.ts';
import type { Node } from '../zone/tree/tree.ts';
import type { HttpOutcome, StartRefusal } from './httpServer.ts';

/** Whether the new server may share the addresses, or why not. */
export type TakeoverOutcome =
  | { readonly kind: 'ready' }
  /** `stop` was aborted. */
  | { readonly kind: 'stopped' }
  | StartRefusal;

/** A server without answers must not take queries from one that has them. */
const STORE_TIMEOUT_MS = 60_000;

const LATE: TakeoverOutcome = {
  kind: 'refused',
  code: 'unreachable',
  reason: `--takeover: the store could not be read within ${STORE_TIMEOUT_MS / 1000} s; the running server continues`,
};

export interface TakeoverParts {
  readonly loaded: Promise<unknown>;
  /** Fills the answer table. */
  readonly warmUp: () => Promise<void>;
  readonly udp: { begin(): Promise<void> };
}

/** Prepares everything but the addresses. */
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

/** Starts HTTP once the predecessor frees its port. */
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
    this.#log.info({}, 'HTTP starts once the previous server has stopped');
    this.#trying = this.#retry();
    const close = async (): Promise<void> => {
      this.#isClosed = true;
      await this.#trying;
      await this.#close();
    };
    return { kind: 'started', endpoint: undefined, close };
  }

  async #retry(): Promise<void> {
    while (!this.#isClosed) {
      await pause(HTTP_RETRY_MS);
      const outcome = await this.#start();
      if (outcome.kind === 'refused') continue;
      this.#close = outcome.close;
      this.#log.info({}, 'HTTP started');
      return;
    }
  }
}

interface DivertingListener {
  divertToSuccessor(): void;
}

/** After this time the server has received the packets that the kernel had already given to its sockets. */
const DIVERTED_MS = 300;

/** Leaves new packets to a successor, if one shares the addresses. Returns the least time to continue answering. */
export async function divertToSuccessor(
  endpoints: readonly SocketAddress[],
  listeners: readonly DivertingListener[],
  log: Log,
): Promise<number> {
  if (!(await hasSuccessor(endpoints))) return 0;
  try {
    for (const listener of listeners) listener.divertToSuccessor();
    log.info({}, 'the successor answers new queries');
  } catch (err) {
    log.warn(
      { err },
      'cannot divert new queries to the successor, which gets them once this server has stopped',
    );
  }
  return DIVERTED_MS;
}

const TYPES = [Type.A, Type.AAAA, Type.SRV];
/** Limits of the warm-up; later answers are computed when a client asks. */
const MAX_QUESTIONS = 30_000;
const MAX_MS = 2_000;
/** The event loop runs at least this often. */
const SLICE_MS = 8;

const WARM_UP_CLIENT: DnsClient = { transport: 'udp', address: '127.0.0.1', port: 1 };

/** Queries the names below `root`, which puts their answers into the table and makes V8 compile the code. */
export async function warmUp(root: Node, respond: Respond): Promise<void> {
  const beganMs = performance.now();
  let sliceFromMs = beganMs;
  let asked = 0;
  for (const name of namesBelow(root)) {
    for (const type of TYPES) respond(queryFor(name, type), WARM_UP_CLIENT, () => {});
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

/** True if another process listens on each of the addresses too, for UDP and TCP. Always false outside Linux. */
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
