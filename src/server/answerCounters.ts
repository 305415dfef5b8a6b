/**
 * Counters of the slow path. They count every packet that the responder received, in blocks with the layout of the
 * workers' blocks. A worker counts types, rcodes and times only for its hits, so a packet that it hands over is counted
 * once, here.
 */
import { kindOf, OTHER_KIND } from '../dataplane/table/answerKinds.ts';
import {
  bucketOf,
  type CounterBlock,
  count,
  countDrop,
  counterBlock,
  type DropReason,
  LATENCY_BOUNDS_US,
  newCounterMemory,
  rcodeSlot,
  Single,
  Slot,
} from '../dataplane/table/counters.ts';
import { type DnsClient, type Edns, TRANSPORTS, type Transport } from '../dns/message.ts';

export interface AnsweredPacket {
  readonly packetOctets: number;
  /** Undefined for a packet that was rejected before its question was read. */
  readonly qtype: number | undefined;
  readonly edns: Edns | undefined;
  readonly rcode: number;
  readonly reply: Uint8Array;
  readonly durationMs: number;
}

/** One block, and the metric labels of its counters. */
export interface CountedAnswers {
  readonly transport: Transport;
  readonly family: IpFamily;
  readonly block: CounterBlock;
}

export type IpFamily = 4 | 6;

export class AnswerCounters {
  readonly blocks: readonly CountedAnswers[];
  readonly #byTransport: Readonly<Record<Transport, Readonly<Record<IpFamily, CounterBlock>>>>;

  constructor() {
    const memory = newCounterMemory(2 * TRANSPORTS.length);
    const blocks = TRANSPORTS.map((transport, i) => {
      const families = { 4: counterBlock(memory, 2 * i), 6: counterBlock(memory, 2 * i + 1) };
      return [transport, families] as const;
    });
    this.#byTransport = Object.fromEntries(blocks) as Record<Transport, (typeof blocks)[0][1]>;
    this.blocks = blocks.flatMap(([transport, families]) =>
      ([4, 6] as const).map((family) => ({ transport, family, block: families[family] })),
    );
  }

  dropped(client: DnsClient, reason: DropReason): void {
    countDrop(this.#blockOf(client), reason);
  }

  /** Counts in one slot for the client's transport and family. */
  countIn(client: DnsClient, slot: number): void {
    count(this.#blockOf(client), slot);
  }

  answered(client: DnsClient, packet: AnsweredPacket): void {
    const { packetOctets, qtype, edns, rcode, reply, durationMs } = packet;
    const block = this.#blockOf(client);
    const micros = durationMs * 1000;
    count(block, Single.received);
    count(block, Single.receivedOctets, packetOctets);
    count(block, Slot.type + kindOrOther(qtype));
    count(block, rcodeSlot(rcode));
    count(block, Slot.latency + bucketOf(LATENCY_BOUNDS_US, micros));
    count(block, Single.latencyMicros, micros);
    count(block, Single.sent);
    count(block, Single.sentOctets, reply.length);
    if (edns !== undefined) count(block, Single.edns);
    if (edns?.dnssecOk === true) count(block, Single.dnssecOk);
    if (((reply[2] ?? 0) & TC) !== 0) count(block, Single.truncated);
  }

  #blockOf({ transport, address }: DnsClient): CounterBlock {
    return this.#byTransport[transport][address.includes(':') ? 6 : 4];
  }
}

/** In the third octet of a header. */
const TC = 0x02;

function kindOrOther(qtype: number | undefined): number {
  return qtype === undefined ? OTHER_KIND : kindOf(qtype);
}
