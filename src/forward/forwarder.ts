/**
 * Asking others: what the rest of the program needs of forwarding. `createForwarder` (forward.ts) is the real one.
 */
import type { Message, Question } from '../dns/message.ts';

export interface ForwardOptions {
  readonly checkingDisabled: boolean;
  readonly dnssecOk: boolean;
}

export type Forwarded =
  /** An upstream's reply, whatever its rcode; TTLs aged if it came from the cache, only records of use kept. */
  | { readonly kind: 'answered'; readonly message: Message }
  /** No upstream gave a usable reply within the time there is. */
  | {
      readonly kind: 'failed';
      readonly reason: 'timeout' | 'network' | 'servfail';
      readonly text: string;
    }
  /** Nobody to ask: no upstreams, or the name has fewer labels than `--ndots`. */
  | { readonly kind: 'refused'; readonly text: string };

export interface Forwarder {
  /** Never rejects; settles within 4 s. */
  resolve(question: Question, options: ForwardOptions): Promise<Forwarded>;
  close(): Promise<void>;
}
