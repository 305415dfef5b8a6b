/** Counts replies from their headers as they are received. */

export interface TallyResult {
  readonly sent: number;
  readonly answered: number;
  /** Sent and not answered in time. */
  readonly lost: number;
  readonly noerror: number;
  readonly nxdomain: number;
  readonly servfail: number;
  readonly refused: number;
  readonly truncated: number;
  readonly octets: number;
}

export class Tally {
  sent = 0;
  lost = 0;
  answered = 0;
  #truncated = 0;
  #octets = 0;
  readonly #rcodes = new Uint32Array(16);

  /** Counts the reply at `octets[at]`; false if the message is no reply. */
  count(octets: Uint8Array, at: number, length: number): boolean {
    const flags = octets[at + 2] as number;
    if (length < 12 || (flags & 0x80) === 0) return false;
    this.answered += 1;
    this.#octets += length;
    this.#truncated += (flags >> 1) & 1;
    const rcode = (octets[at + 3] as number) & 15;
    this.#rcodes[rcode] = (this.#rcodes[rcode] as number) + 1;
    return true;
  }

  result(): TallyResult {
    const [noerror = 0, , servfail = 0, nxdomain = 0, , refused = 0] = this.#rcodes;
    const { sent, answered, lost } = this;
    const rest = { truncated: this.#truncated, octets: this.#octets };
    return { sent, answered, lost, noerror, nxdomain, servfail, refused, ...rest };
  }
}
