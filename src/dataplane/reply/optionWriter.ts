/**
 * The EDNS options of a reply that its query asks for. `ReplyWriter` has the rest of OPT. One object serves all replies
 * of a reader, and allocates nothing for a reply.
 */
import { COOKIE_OCTETS, OPTION_HEAD_OCTETS, OptionCode } from '../../dns/edns.ts';
import type { ClientPolicy } from '../sockets/clientPolicy.ts';
import { type CounterBlock, Single } from '../table/counters.ts';
import { optionBit, type QuestionReader } from './question.ts';
import { CookieState, ServerCookies } from './serverCookies.ts';

const NSID_BIT = optionBit(OptionCode.NSID);
const COOKIE_BIT = optionBit(OptionCode.COOKIE);
/** Offset of an OPT record's RDLENGTH. */
const RDLENGTH_OFFSET = 9;

/** The counter of each `CookieState`; a malformed cookie is the main thread's. */
const COOKIE_SLOTS: readonly number[] = [
  Single.cookiesMalformed,
  Single.cookiesNew,
  Single.cookiesInvalid,
  Single.cookiesValid,
];

/** The counter of a query with a cookie in that `CookieState`. */
export function cookieSlot(state: number): number {
  return COOKIE_SLOTS[state] as number;
}

export class OptionWriter {
  /** Octets of the options in the reply to the question that was measured last. */
  length = 0;
  /** Undefined: cookies are ignored. Set their client before `measure`. */
  cookies: ServerCookies | undefined;
  readonly #question: QuestionReader;
  readonly #counters: CounterBlock;
  /** The options that are answered, and those in the next reply, as bits. */
  #answered = 0;
  #asked = 0;
  #cookieState = 0;
  /** The whole option. */
  #nsid: Uint8Array = new Uint8Array();

  constructor(question: QuestionReader, counters: CounterBlock) {
    this.#question = question;
    this.#counters = counters;
  }

  setPolicy({ nsid, cookieSecrets }: Pick<ClientPolicy, 'nsid' | 'cookieSecrets'>): void {
    this.#nsid = nsid === undefined ? new Uint8Array() : nsidOption(nsid);
    this.cookies = cookieSecrets.length === 0 ? undefined : new ServerCookies(cookieSecrets);
    this.#answered =
      (nsid === undefined ? 0 : NSID_BIT) | (this.cookies === undefined ? 0 : COOKIE_BIT);
  }

  /** The client has shown that it receives replies at its address. */
  get isProven(): boolean {
    return (this.#asked & COOKIE_BIT) !== 0 && this.#cookieState === CookieState.VALID;
  }

  /** The reply has a cookie. */
  get hasCookie(): boolean {
    return (this.#asked & COOKIE_BIT) !== 0;
  }

  /**
   * Sets `length` for the question of `packet` that was just read, and copies its cookie, which the reply overwrites.
   * False if the cookie is malformed.
   */
  measure(packet: Uint8Array): boolean {
    const asked = this.#question.options & this.#answered;
    this.#asked = asked;
    this.length = 0;
    return asked === 0 || this.#measureOptions(packet, asked);
  }

  /** Adds the options to the OPT record at `packet[optAt]`, which ends at `packet[end]`. */
  write(packet: Uint8Array, optAt: number, end: number): void {
    if (this.length === 0) return;
    let at = end;
    if ((this.#asked & NSID_BIT) !== 0) {
      const nsid = this.#nsid;
      for (let i = 0; i < nsid.length; i++) packet[at + i] = nsid[i] as number;
      at += nsid.length;
    }
    if (this.hasCookie) this.#writeCookie(packet, at);
    const rdlength = end - optAt - RDLENGTH_OFFSET - 2 + this.length;
    packet[optAt + RDLENGTH_OFFSET] = rdlength >>> 8;
    packet[optAt + RDLENGTH_OFFSET + 1] = rdlength & 0xff;
  }

  #measureOptions(packet: Uint8Array, asked: number): boolean {
    if ((asked & NSID_BIT) !== 0) this.length += this.#nsid.length;
    if ((asked & COOKIE_BIT) === 0) return true;
    this.length += OPTION_HEAD_OCTETS + COOKIE_OCTETS;
    const { cookieAt, cookieOctets } = this.#question;
    this.#cookieState = this.cookies?.read(packet, cookieAt, cookieOctets) ?? 0;
    return this.#cookieState !== CookieState.MALFORMED;
  }

  #writeCookie(packet: Uint8Array, at: number): void {
    packet[at] = 0;
    packet[at + 1] = OptionCode.COOKIE;
    packet[at + 2] = 0;
    packet[at + 3] = COOKIE_OCTETS;
    this.cookies?.write(packet, at + OPTION_HEAD_OCTETS);
    const slot = cookieSlot(this.#cookieState);
    this.#counters[slot] = (this.#counters[slot] as number) + 1;
  }
}

function nsidOption(text: string): Uint8Array {
  const data = Buffer.from(text);
  const option = new Uint8Array(OPTION_HEAD_OCTETS + data.length);
  option.set([0, OptionCode.NSID, data.length >>> 8, data.length & 0xff]);
  option.set(data, OPTION_HEAD_OCTETS);
  return option;
}
