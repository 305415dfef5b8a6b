/** The messages of one transfer, as a connection sends them. */
import type { TransferMessages } from '../../transfer/messages.ts';
import type { TsigSigner } from '../../transfer/tsig.ts';
import type { QueryReplies } from '../tcp/tcpConnection.ts';

export interface TransferStreamOptions {
  readonly messages: TransferMessages;
  /** Signs each message; `undefined` if the query is not signed. */
  readonly signer: TsigSigner | undefined;
  readonly unixSeconds: () => number;
  /** Receives errors that are bugs. Must not throw. */
  readonly onError: (error: unknown) => void;
  /** `isWhole`: the connection has taken all messages. */
  readonly onClosed: (isWhole: boolean, messages: number) => void;
}

export class TransferStream implements QueryReplies {
  readonly #options: TransferStreamOptions;
  #sent = 0;
  #isWhole = false;
  #isClosed = false;

  constructor(options: TransferStreamOptions) {
    this.#options = options;
  }

  next(): Uint8Array | undefined | 'broken' {
    try {
      return this.#next();
    } catch (error) {
      this.#options.onError(error);
      return 'broken';
    }
  }

  /** The records of a message are made when it is. */
  #next(): Uint8Array | undefined {
    const { messages, signer, unixSeconds } = this.#options;
    const message = messages.next();
    if (message === undefined) {
      this.#isWhole = true;
      return undefined;
    }
    this.#sent++;
    return signer === undefined ? message : signer.sign(message, unixSeconds());
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#options.onClosed(this.#isWhole, this.#sent);
  }
}

/** A stream of one reply; `undefined`: of none. */
export function singleReply(reply: Uint8Array | undefined): QueryReplies {
  let left = reply;
  return {
    next() {
      const next = left;
      left = undefined;
      return next;
    },
    close() {},
  };
}
