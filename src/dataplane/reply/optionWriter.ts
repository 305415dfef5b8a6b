/**
 * The EDNS options of a reply that its query asks for. `ReplyWriter` has the rest of OPT. One object serves all replies
 * of a reader, and allocates nothing for a reply.
 */
import { OPTION_HEAD_OCTETS, OptionCode } from '../../dns/edns.ts';
import type { ClientPolicy } from '../sockets/clientPolicy.ts';
import { optionBit, type QuestionReader } from './question.ts';

const NSID_BIT = optionBit(OptionCode.NSID);
/** Offset of an OPT record's RDLENGTH. */
const RDLENGTH_OFFSET = 9;

export class OptionWriter {
  /** Octets of the options in the reply to the question that was measured last. */
  length = 0;
  readonly #question: QuestionReader;
  /** The options that are answered, as bits. */
  #answered = 0;
  /** The whole option. */
  #nsid: Uint8Array = new Uint8Array();

  constructor(question: QuestionReader) {
    this.#question = question;
  }

  setPolicy({ nsid }: Pick<ClientPolicy, 'nsid'>): void {
    this.#answered = nsid === undefined ? 0 : NSID_BIT;
    this.#nsid = nsid === undefined ? new Uint8Array() : nsidOption(nsid);
  }

  /** Sets `length` for the question that was just read. */
  measure(): void {
    const asked = this.#question.options & this.#answered;
    this.length = asked === 0 ? 0 : this.#nsid.length;
  }

  /** Adds the options to the OPT record at `packet[optAt]`, which ends at `packet[end]`. */
  write(packet: Uint8Array, optAt: number, end: number): void {
    if (this.length === 0) return;
    const nsid = this.#nsid;
    for (let i = 0; i < nsid.length; i++) packet[end + i] = nsid[i] as number;
    const rdlength = end - optAt - RDLENGTH_OFFSET - 2 + this.length;
    packet[optAt + RDLENGTH_OFFSET] = rdlength >>> 8;
    packet[optAt + RDLENGTH_OFFSET + 1] = rdlength & 0xff;
  }
}

function nsidOption(text: string): Uint8Array {
  const data = Buffer.from(text);
  const option = new Uint8Array(OPTION_HEAD_OCTETS + data.length);
  option.set([0, OptionCode.NSID, data.length >>> 8, data.length & 0xff]);
  option.set(data, OPTION_HEAD_OCTETS);
  return option;
}
