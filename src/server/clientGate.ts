/** Applies the client policy on the slow path, to queries that `accept` has read. */
import { cookieSlot } from '../dataplane/reply/optionWriter.ts';
import { Admission, ERRORS, RateLimiter } from '../dataplane/reply/rateLimiter.ts';
import { CookieState, ServerCookies } from '../dataplane/reply/serverCookies.ts';
import { AddressRanges } from '../dataplane/sockets/addressRanges.ts';
import {
  type ClientPolicy,
  PLAIN_POLICY,
  type PolicyFollower,
} from '../dataplane/sockets/clientPolicy.ts';
import { sockaddrOf } from '../dataplane/sockets/layout.ts';
import { Single } from '../dataplane/table/counters.ts';
import { hashOfName } from '../dataplane/table/layout.ts';
import { COOKIE_OCTETS, OptionCode } from '../dns/edns.ts';
import {
  authoritative,
  type DnsClient,
  type Query,
  type ReplyOption,
  type Response,
} from '../dns/message.ts';
import { foldName, type Name, wireName } from '../dns/name.ts';
import { Rcode } from '../dns/rr.ts';

/** What the policy says about one query. */
export interface Passage {
  /** `notAllowed`: the client gets no answers. `malformed`: its cookie has an impossible length. */
  readonly kind: 'admitted' | 'notAllowed' | 'malformed';
  /** The options of the reply's OPT; `undefined` for none. */
  readonly options: readonly ReplyOption[] | undefined;
  /** The counter of the cookie's state; `undefined` without a cookie. */
  readonly cookieSlot: number | undefined;
}

/** A reply over the rate limit. */
export interface Limited {
  /** What is sent instead; `null`: nothing. */
  readonly response: Response | null;
  /** The counter of what happened. */
  readonly slot: number;
}

const PLAIN: Passage = { kind: 'admitted', options: undefined, cookieSlot: undefined };

/** The clock of cookies, and that of the rate limit, which all threads share. */
interface GateClocks {
  readonly unixSeconds: () => number;
  readonly monotonicMs: () => number;
}

export class ClientGate implements PolicyFollower {
  #allowed: AddressRanges | undefined;
  #nsid: ReplyOption | undefined;
  #cookies: ServerCookies | undefined;
  #limiter: RateLimiter | undefined;
  readonly #clocks: GateClocks;
  readonly #nameSeed: number;

  /** `nameSeed`: of the answer table's hashes of names. */
  constructor(clocks: GateClocks, nameSeed: number) {
    this.#clocks = clocks;
    this.#nameSeed = nameSeed;
    this.setPolicy(PLAIN_POLICY);
  }

  setPolicy({ allowed, nsid, cookieSecrets, rateLimit }: ClientPolicy): void {
    this.#limiter = rateLimit && new RateLimiter(rateLimit);
    this.#allowed = allowed && new AddressRanges(allowed);
    this.#nsid =
      nsid === undefined ? undefined : { code: OptionCode.NSID, data: Buffer.from(nsid) };
    this.#cookies = cookieSecrets.length === 0 ? undefined : new ServerCookies(cookieSecrets);
  }

  /** Whether replies have cookies for clients that send theirs. */
  get hasCookies(): boolean {
    return this.#cookies !== undefined;
  }

  /** UDP listeners have dropped the packets of clients that are not allowed. */
  pass({ edns }: Query, client: DnsClient): Passage {
    if (client.transport !== 'udp' && this.#allowed?.hasAddress(client.address) === false)
      return { ...PLAIN, kind: 'notAllowed' };
    const nsid = edns?.nsid === true && this.#nsid !== undefined ? [this.#nsid] : [];
    const cookies = this.#cookies;
    const sent = edns?.cookie;
    if (cookies === undefined || sent === undefined)
      return nsid.length === 0 ? PLAIN : { ...PLAIN, options: nsid };
    cookies.unixSeconds = this.#clocks.unixSeconds();
    cookies.setClient(sockaddrOf(client.address), 0);
    const state = cookies.read(sent, 0, sent.length);
    const slot = cookieSlot(state);
    if (state === CookieState.MALFORMED)
      return { kind: 'malformed', options: nsid, cookieSlot: slot };
    const data = new Uint8Array(COOKIE_OCTETS);
    cookies.write(data, 0);
    const options = [...nsid, { code: OptionCode.COOKIE, data }];
    return { kind: 'admitted', options, cookieSlot: slot };
  }

  /** What becomes of a reply that is over the rate limit; `undefined`: the reply is sent. */
  limit(
    passage: Passage | undefined,
    query: Query,
    response: Response,
    client: DnsClient,
  ): Limited | undefined {
    if (passage?.cookieSlot === VALID_SLOT) return undefined;
    const admission = this.#admit(client, subjectOf(query, response));
    if (admission === Admission.SEND) return undefined;
    if (admission === Admission.DROP) return DROPPED;
    const { recursionAvailable } = response;
    const empty = { ...authoritative(Rcode.NOERROR, []), authoritative: false, recursionAvailable };
    if (passage?.cookieSlot === undefined)
      return { response: { ...empty, truncated: true }, slot: Single.rateTruncated };
    return { response: { ...empty, rcode: Rcode.BADCOOKIE }, slot: Single.rateBadCookie };
  }

  /**
   * Like `limit`, for the reply to a packet that `accept` rejects, and to a question for a zone. Over the limit the
   * reply is not sent: such a packet may have no question, and its cookie is not judged, so neither TC nor BADCOOKIE
   * would help its client.
   */
  limitError(client: DnsClient): Limited | undefined {
    return this.#admit(client, undefined) === Admission.SEND ? undefined : DROPPED;
  }

  /** Counts a reply about `subject`, `undefined` for an error; `Admission.SEND` unless it is over the limit. */
  #admit({ transport, address }: DnsClient, subject: Name | undefined): number {
    const limiter = this.#limiter;
    if (limiter === undefined || transport !== 'udp') return Admission.SEND;
    limiter.setTime(this.#clocks.monotonicMs());
    limiter.setClient(sockaddrOf(address), 0);
    // The table's readers count the same number for a name.
    return limiter.admit(
      subject === undefined ? ERRORS : hashOfName(wireName(foldName(subject)), this.#nameSeed),
    );
  }
}

const DROPPED: Limited = { response: null, slot: Single.rateDropped };

const VALID_SLOT = cookieSlot(CookieState.VALID);
const INVALID_SLOT = cookieSlot(CookieState.INVALID);

/** The response to a query for a cookie, which has no question (RFC 7873 §5.4). */
export function cookieResponse(passage: Passage | undefined): Response {
  const rcode = passage?.cookieSlot === INVALID_SLOT ? Rcode.BADCOOKIE : Rcode.NOERROR;
  return { ...authoritative(rcode, []), authoritative: false };
}

/** What a reply is about: its name, the zone that denies the name, or `undefined` for an error. */
function subjectOf({ question }: Query, response: Response): Name | undefined {
  const { rcode, authority, limitedAs } = response;
  if (rcode === Rcode.NOERROR) return limitedAs ?? question.qname;
  return rcode === Rcode.NXDOMAIN ? (limitedAs ?? authority[0]?.owner) : undefined;
}
