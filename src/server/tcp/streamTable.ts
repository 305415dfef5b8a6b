/**
 * Answers the queries of connections from the answer table and the answer cache. The main thread serves all connections,
 * so they share one memory for replies. The replies to several pipelined queries are written together.
 */
import {
  type FamilyBlock,
  familyBlock,
  familyBlocks,
} from '../../dataplane/listeners/udpListener.ts';
import type { FastPath } from '../../dataplane/reply/fastPath.ts';
import { openFastPath } from '../../dataplane/reply/reader.ts';
import { AddressRanges } from '../../dataplane/sockets/addressRanges.ts';
import type { ClientPolicy, PolicyFollower } from '../../dataplane/sockets/clientPolicy.ts';
import { sockaddrOf } from '../../dataplane/sockets/layout.ts';
import {
  bucketOf,
  count,
  LATENCY_BOUNDS_US,
  newCounterMemory,
  Single,
  Slot,
} from '../../dataplane/table/counters.ts';
import type { TableHandle } from '../../dataplane/table/layout.ts';
import { familyOfAddress } from '../../dns/address.ts';
import type { Reassembly } from '../../dns/framing.ts';
import type { DnsClient } from '../../dns/message.ts';
import type { ClientTap } from '../../dnstap/clientTap.ts';
import {
  type ConnectionOffer,
  MOST_OPTION_OCTETS,
  replyOptionsFor,
  withReplyOptions,
} from './replyOptions.ts';

const MAIN_THREAD = 0;
/** Queries that are answered at once: as much work as one query that the table cannot answer. */
const MOST_QUERIES = 16;
/** A longer message is unusual, and `FastPath` answers none. */
const MOST_QUERY_OCTETS = 512;
const LENGTH_OCTETS = 2;

export class StreamTable implements PolicyFollower {
  /** Counters of the queries that `answer` answered. */
  readonly blocks: readonly FamilyBlock[];
  readonly #memory: SharedArrayBuffer = newCounterMemory(2);
  readonly #paths: Readonly<Record<4 | 6, FastPath>>;
  /** The replies that `takeReplies` returns, each with its length. */
  readonly #replies: Uint8Array;
  readonly #mostOctets: number;
  readonly #tap: ClientTap | undefined;
  #octets = 0;
  #allowed: AddressRanges | undefined;
  #recursion = new AddressRanges([]);

  /** `nowMs` is the writer's clock; `tap` writes messages for dnstap. */
  constructor(table: TableHandle, nowMs: () => number = () => performance.now(), tap?: ClientTap) {
    this.#tap = tap;
    this.blocks = familyBlocks(this.#memory, 1);
    const path = (family: 4 | 6): FastPath =>
      openFastPath(table, MAIN_THREAD, this.#blockOf(family), nowMs, true);
    this.#paths = { 4: path(4), 6: path(6) };
    // The question, and the longest answer with OPT behind it.
    const mostReplyOctets = MOST_QUERY_OCTETS + table.maxUdpOctets + MOST_QUERY_OCTETS;
    this.#mostOctets = LENGTH_OCTETS + mostReplyOctets + MOST_OPTION_OCTETS;
    this.#replies = new Uint8Array(MOST_QUERIES * this.#mostOctets);
  }

  setPolicy(policy: ClientPolicy): void {
    const { allowed, recursionRanges } = policy;
    this.#allowed = allowed && new AddressRanges(allowed);
    this.#recursion = new AddressRanges(recursionRanges);
    this.#paths[4].setPolicy(policy);
    this.#paths[6].setPolicy(policy);
  }

  /**
   * Takes the next queries out of `input` for as long as the table answers them, up to a few, or until the replies have
   * `mostOctets`. Returns their number; `takeReplies` then returns the replies.
   */
  answer(input: Reassembly, client: DnsClient, mostOctets: number, offer: ConnectionOffer): number {
    if (input.wholeInChunk() === 0 || this.#allowed?.hasAddress(client.address) === false) return 0;
    const family = familyOfAddress(client.address);
    const path = this.#paths[family];
    const beganMs = performance.now();
    const mayRecurse = this.#recursion.hasAddress(client.address);
    let queries = 0;
    let queryOctets = 0;
    this.#octets = 0;
    if (path.needsClient) path.setClient(sockaddrOf(client.address), 0);
    path.beginBatch();
    while (queries < MOST_QUERIES && this.#octets < mostOctets) {
      const length = input.wholeInChunk();
      const { chunk, messageAt: at } = input;
      const replyAt = this.#octets + LENGTH_OCTETS;
      if (length === 0 || !this.#answerOne(path, chunk, at, length, mayRecurse, offer)) break;
      const reply = this.#replies.subarray(replyAt, this.#octets);
      this.#tap?.answered(client, chunk.subarray(at, at + length), reply, beganMs);
      input.skip();
      queries++;
      queryOctets += length;
    }
    path.endBatch();
    if (queries > 0) this.#count(family, queries, queryOctets, performance.now() - beganMs);
    return queries;
  }

  /** The reply to one query that is a whole message; undefined if the table does not answer it. */
  answerMessage(
    query: Uint8Array,
    client: DnsClient,
    offer: ConnectionOffer,
  ): Uint8Array | undefined {
    if (this.#allowed?.hasAddress(client.address) === false) return undefined;
    const family = familyOfAddress(client.address);
    const path = this.#paths[family];
    const beganMs = performance.now();
    const mayRecurse = this.#recursion.hasAddress(client.address);
    this.#octets = 0;
    if (path.needsClient) path.setClient(sockaddrOf(client.address), 0);
    path.beginBatch();
    const isAnswered = this.#answerOne(path, query, 0, query.length, mayRecurse, offer);
    path.endBatch();
    if (!isAnswered) return undefined;
    this.#count(family, 1, query.length, performance.now() - beganMs);
    const reply = Buffer.from(this.#replies.subarray(LENGTH_OCTETS, this.#octets));
    this.#tap?.answered(client, query, reply, beganMs);
    return reply;
  }

  /** A copy, because the kernel may take it later. */
  takeReplies(): Uint8Array {
    return Buffer.from(this.#replies.subarray(0, this.#octets));
  }

  /** The query of `length` octets at `chunk[messageAt]`. */
  #answerOne(
    path: FastPath,
    chunk: Uint8Array,
    messageAt: number,
    length: number,
    mayRecurse: boolean,
    offer: ConnectionOffer,
  ): boolean {
    const isReply = (chunk[messageAt + 2] as number) >= 0x80;
    if (isReply || length > MOST_QUERY_OCTETS) return false;
    const replies = this.#replies;
    const lengthAt = this.#octets;
    const at = lengthAt + LENGTH_OCTETS;
    for (let i = 0; i < length; i++) replies[at + i] = chunk[messageAt + i] as number;
    let outcome: number = path.answer(replies, at, length, mayRecurse);
    if (outcome <= 0) return false;
    const options = replyOptionsFor(chunk, offer, messageAt, length);
    if (options !== undefined) {
      const reply = withReplyOptions(replies.subarray(at, at + outcome), options);
      replies.set(reply, at);
      outcome = reply.length;
    }
    replies[lengthAt] = outcome >>> 8;
    replies[lengthAt + 1] = outcome;
    this.#octets = at + outcome;
    return true;
  }

  #count(family: 4 | 6, queries: number, queryOctets: number, elapsedMs: number): void {
    const block = this.#blockOf(family);
    const micros = elapsedMs * 1000;
    count(block, Single.received, queries);
    count(block, Single.receivedOctets, queryOctets);
    count(block, Single.sent, queries);
    count(block, Single.sentOctets, this.#octets - queries * LENGTH_OCTETS);
    count(block, Slot.latency + bucketOf(LATENCY_BOUNDS_US, micros), queries);
    count(block, Single.latencyMicros, micros * queries);
  }

  #blockOf(family: 4 | 6) {
    return familyBlock(this.#memory, MAIN_THREAD, family);
  }
}
