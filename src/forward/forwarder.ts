/**
 * Asking others: what the rest of the program needs of forwarding. `createForwarder` (forward.ts) is the real one.
 */
import type { Message, Question } from '../dns/message.ts';
import type { ServerId } from '../dns/path.ts';

export interface ForwardOptions {
  readonly checkingDisabled: boolean;
  readonly dnssecOk: boolean;
  /** The address of the client for whom it is asked; each has a share of what may be asked at once. */
  readonly client: string;
  /** The soradns servers that the question has passed before this one. */
  readonly path?: readonly ServerId[] | undefined;
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
  /** The outcome where it is known without asking: a refusal, or a reply from the cache. */
  peek(question: Question, options: ForwardOptions): Forwarded | undefined;
  /** Never rejects; settles within 4 s. */
  resolve(question: Question, options: ForwardOptions): Promise<Forwarded>;
  close(): Promise<void>;
}
