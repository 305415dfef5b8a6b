/**
 * The messages of a transfer (RFC 5936 §2.2): as many records as fit each, with compressed owner names. The first one
 * repeats the question.
 */
import { encodedOptOctets, type Opt, UDP_SIZE, writeOpt } from '../dns/edns.ts';
import type { Question } from '../dns/message.ts';
import type { Name } from '../dns/name.ts';
import { Class, Type } from '../dns/rr.ts';
import { Flag, HEADER_OCTETS, MAX_MESSAGE_OCTETS } from '../dns/wire.ts';
import { MAX_OFFSET, MessageWriter } from '../dns/writer.ts';
import { endOfRecord, type ListedRecord, nameOfOwner } from './records.ts';

/** Names in a longer message are not compressed any more. */
const MOST_OCTETS = MAX_OFFSET;

export interface TransferHeader {
  readonly id: number;
  readonly question: Question;
  /** The query has an OPT record, so the first message has one too (RFC 6891 §7). */
  readonly hasEdns: boolean;
  /** Octets that the caller adds to each message. */
  readonly addedOctets: number;
}

const OPT: Opt = { udpSize: UDP_SIZE, dnssecOk: false, rcode: 0 };

const writer = new MessageWriter();

/** The messages, one at a time, as `next` is called. */
export class TransferMessages {
  readonly #header: TransferHeader;
  readonly #records: Iterator<ListedRecord>;
  /** Records of one name that wait for a message, and where the next of them begins. */
  #waiting: ListedRecord | undefined;
  #at = 0;
  #isFirst = true;

  constructor(header: TransferHeader, records: Iterable<ListedRecord>) {
    this.#header = header;
    this.#records = records[Symbol.iterator]();
    this.#advance();
  }

  /** `undefined` after the last message. */
  next(): Uint8Array | undefined {
    if (this.#waiting === undefined) return undefined;
    const { id, question, hasEdns } = this.#header;
    const opt = this.#isFirst && hasEdns ? OPT : undefined;
    const addedOctets = this.#header.addedOctets + (opt === undefined ? 0 : encodedOptOctets(opt));
    writer.restart(HEADER_OCTETS);
    if (this.#isFirst) {
      writer.name(question.qname);
      writer.u16(question.qtype);
      writer.u16(question.qclass);
      writer.endQuestion();
    }
    const answers = this.#fill(MOST_OCTETS - addedOctets, MAX_MESSAGE_OCTETS - addedOctets);
    if (opt !== undefined) writeOpt(writer, opt);
    const counts = {
      questions: this.#isFirst ? 1 : 0,
      answers,
      additional: opt === undefined ? 0 : 1,
    };
    writeHeader(id, Flag.QR | Flag.AA, counts);
    this.#isFirst = false;
    return writer.finish();
  }

  /** Writes records up to `fitOctets`, at least one. A record above `mostOctets` is left out. Returns their number. */
  #fill(fitOctets: number, mostOctets: number): number {
    let written = 0;
    while (this.#waiting !== undefined) {
      const name = nameOfOwner(this.#waiting.owner);
      const { octets } = this.#waiting;
      while (this.#at < octets.length) {
        const before = writer.at;
        const end = writeRecord(name, octets, this.#at);
        if (writer.at > (written === 0 ? mostOctets : fitOctets)) {
          writer.rollBack(before);
          if (written > 0) return written;
        } else {
          written++;
        }
        this.#at = end;
      }
      this.#advance();
    }
    return written;
  }

  #advance(): void {
    const { done, value } = this.#records.next();
    this.#waiting = done === true ? undefined : value;
    this.#at = 0;
  }
}

const OPCODE_NOTIFY = 4 << 11;

/** The message that tells a secondary the newest version of a zone (RFC 1996 §3.7). */
export function notifyMessage(id: number, { owner, octets }: ListedRecord): Uint8Array {
  const apex = nameOfOwner(owner);
  writer.restart(HEADER_OCTETS);
  writer.name(apex);
  writer.u16(Type.SOA);
  writer.u16(Class.IN);
  writer.endQuestion();
  writeRecord(apex, octets, 0);
  writeHeader(id, OPCODE_NOTIFY | Flag.AA, { questions: 1, answers: 1, additional: 0 });
  return writer.finish();
}

/** Writes the record that begins at `at`. Returns where it ends. */
function writeRecord(name: Name, octets: string, at: number): number {
  const end = endOfRecord(octets, at);
  writer.name(name);
  writer.octets(octets, at, at + 2);
  writer.u16(Class.IN);
  writer.octets(octets, at + 2, end);
  return end;
}

interface Counts {
  readonly questions: number;
  readonly answers: number;
  readonly additional: number;
}

function writeHeader(id: number, flags: number, { questions, answers, additional }: Counts): void {
  writer.put16(0, id);
  writer.put16(2, flags);
  writer.put16(4, questions);
  writer.put16(6, answers);
  writer.put16(8, 0);
  writer.put16(10, additional);
}
