/** The EDNS options that a reply gets because of the connection that carries it. */
import { type AddedStreamOptions, readStreamOptions, withStreamOptions } from '../../dns/edns.ts';

/** What the connections of a listener offer. */
export interface ConnectionOffer {
  /** How long a connection may be idle, for clients that ask (RFC 7828); undefined: they are not told. */
  readonly idleMs?: number | undefined;
  /** Padding would only cost octets on a connection that others can read (RFC 7830 §6). */
  readonly isEncrypted: boolean;
}

/** RFC 8467 §4.1. */
const REPLY_BLOCK_OCTETS = 468;

/** The options for the reply to the query of `length` octets at `octets[at]`; undefined if the query asks for none. */
export function replyOptionsFor(
  octets: Uint8Array,
  { idleMs, isEncrypted }: ConnectionOffer,
  at = 0,
  length = octets.length,
): AddedStreamOptions | undefined {
  // Behind OPT there may be a signature: then the reply has one too, which further options would break.
  const hasOptAlone = octets[at + 11] === 1;
  if (!hasOptAlone) return undefined;
  const { isPadded, hasKeepalive } = readStreamOptions(octets.subarray(at, at + length));
  const keepalive = hasKeepalive ? idleMs : undefined;
  const paddedTo = isPadded && isEncrypted ? REPLY_BLOCK_OCTETS : undefined;
  return keepalive === undefined && paddedTo === undefined ? undefined : { keepalive, paddedTo };
}

export function withReplyOptions(
  reply: Uint8Array,
  options: AddedStreamOptions | undefined,
): Uint8Array {
  return options === undefined ? reply : withStreamOptions(reply, options);
}

/** The most octets by which options make a reply longer. */
export const MOST_OPTION_OCTETS = REPLY_BLOCK_OCTETS + 16;
