/**
 * The records of an upstream's reply that belong to the question. An attacker poisons a cache with records that answer
 * no part of a question. So the forwarder keeps only the question's CNAME chain and the RRs at its end, the SOA of a
 * negative answer, and for DNSSEC clients signatures and denials, which only a validator uses. It keeps no additional
 * section.
 */
import type { Message, Question } from '../dns/message.ts';
import { isSubdomainOf, type Name, nameKey } from '../dns/name.ts';
import { Rcode, type Rr, Type } from '../dns/rr.ts';

/** A longer chain is a loop or an attack; the records beyond are dropped. */
const MAX_CHAIN = 16;

/** Limits of other servers' TTLs, in seconds. */
export interface TtlLimits {
  /** Even above `minSeconds`. */
  readonly maxSeconds: number;
  /** Shorter TTLs of positive answers are raised to it. */
  readonly minSeconds: number;
  /** Of negative answers. */
  readonly maxNegativeSeconds: number;
}

/** RFC 2308 §5 allows negative answers hours; five minutes, since new containers start all the time. */
export const DEFAULT_TTL_LIMITS: TtlLimits = {
  maxSeconds: 86_400,
  minSeconds: 0,
  maxNegativeSeconds: 300,
};

/**
 * The message with only the records that belong to the question, with TTLs within the limits and with AD clear: the
 * server does not validate, and the path to the upstream is not protected, so the bit proves nothing.
 */
export function scrub(
  message: Message,
  question: Question,
  dnssecOk: boolean,
  limits: TtlLimits = DEFAULT_TTL_LIMITS,
): Message {
  const inClass = (rr: Rr) => rr.class === question.qclass;
  const chain = followChain(message.answer.filter(inClass), question);
  const keptAnswer = message.answer.filter(
    (rr) => inClass(rr) && answersChain(rr, chain, question, dnssecOk),
  );
  const isNegative = !keptAnswer.some((rr) => isAsked(rr, question));
  const keptAuthority = message.authority.filter(
    (rr) => inClass(rr) && provesChain(rr, chain, isNegative, dnssecOk),
  );
  return {
    ...message,
    authenticData: false,
    answer: keptAnswer.map((rr) => limitedTtl(rr, limits)),
    authority: keptAuthority.map((rr) =>
      isNegative ? limitedNegativeTtl(rr, limits) : limitedTtl(rr, limits),
    ),
    additional: [],
  };
}

function isAsked({ type }: Rr, { qtype }: Question): boolean {
  return type === qtype || qtype === Type.ANY;
}

/** The names that the question leads to: the qname, then each CNAME's target, up to the one without a CNAME. */
interface Chain {
  readonly names: ReadonlyMap<string, Name>;
  readonly end: Name;
  /** By owner. */
  readonly cnames: ReadonlyMap<string, Rr>;
}

function followChain(answer: readonly Rr[], { qname, qtype }: Question): Chain {
  const cnames = new Map<string, Rr>();
  for (const rr of answer) {
    const owner = nameKey(rr.owner);
    if (rr.type === Type.CNAME && !cnames.has(owner)) cnames.set(owner, rr);
  }
  const names = new Map([[nameKey(qname), qname]]);
  let end = qname;
  while (qtype !== Type.CNAME && qtype !== Type.ANY && names.size <= MAX_CHAIN) {
    const rdata = cnames.get(nameKey(end))?.rdata;
    if (rdata?.kind !== 'name' || names.has(nameKey(rdata.target))) break;
    end = rdata.target;
    names.set(nameKey(end), end);
  }
  return { names, end, cnames };
}

function answersChain(rr: Rr, chain: Chain, question: Question, dnssecOk: boolean): boolean {
  const owner = nameKey(rr.owner);
  const isOnChain = chain.names.has(owner);
  if (rr.type === Type.RRSIG && !isAsked(rr, question))
    return dnssecOk && (isOnChain || isAbove(rr.owner, chain));
  // RFC 6672 §3.1: a DNAME above a name of the chain explains the CNAME that was made from it.
  if (rr.type === Type.DNAME && !isOnChain) return isAbove(rr.owner, chain);
  if (!isOnChain) return false;
  if (owner === nameKey(chain.end)) return isAsked(rr, question);
  return rr === chain.cnames.get(owner);
}

function isAbove(owner: Name, { names }: Chain): boolean {
  for (const name of names.values())
    if (name.length > owner.length && isSubdomainOf(name, owner)) return true;
  return false;
}

/** Whether a record of the authority section is about the end of the chain. */
function provesChain(rr: Rr, chain: Chain, isNegative: boolean, dnssecOk: boolean): boolean {
  if (rr.type === Type.SOA) return isNegative && isSubdomainOf(chain.end, rr.owner);
  if (!dnssecOk) return false;
  return (
    rr.type === Type.NSEC || rr.type === Type.NSEC3 || (rr.type === Type.RRSIG && coversProof(rr))
  );
}

function coversProof(rrsig: Rr): boolean {
  if (rrsig.rdata.kind !== 'unknown') return false;
  const [high = 0, low = 0] = rrsig.rdata.octets;
  const covered = (high << 8) | low;
  return covered === Type.SOA || covered === Type.NSEC || covered === Type.NSEC3;
}

function limitedTtl(rr: Rr, { minSeconds, maxSeconds }: TtlLimits): Rr {
  return withTtl(rr, Math.min(Math.max(sentTtl(rr), minSeconds), maxSeconds));
}

/** RFC 2308 §5: a negative answer is valid for the lesser of the SOA's TTL and its minimum field. */
function limitedNegativeTtl(rr: Rr, { maxSeconds, maxNegativeSeconds }: TtlLimits): Rr {
  const most = Math.min(maxSeconds, maxNegativeSeconds);
  const least = rr.rdata.kind === 'soa' ? Math.min(rr.rdata.minimumSeconds, most) : most;
  return withTtl(rr, Math.min(sentTtl(rr), least));
}

/** RFC 2181 §8: a TTL with its top bit set is 0. */
function sentTtl({ ttlSeconds }: Rr): number {
  return ttlSeconds > 0x7fff_ffff ? 0 : ttlSeconds;
}

function withTtl(rr: Rr, ttlSeconds: number): Rr {
  return ttlSeconds === rr.ttlSeconds ? rr : { ...rr, ttlSeconds };
}

/**
 * Whether the reply answers the question. A failure does not, nor does a referral, which a lame server sends. To a
 * question without RD, which a name server of a delegation gets, only a server with authority answers: any other one
 * may deny the name because it does not know the delegation.
 */
export function isUsableReply(message: Message, recursionDesired = true): boolean {
  if (!recursionDesired && !message.authoritative) return false;
  if (message.rcode === Rcode.NOERROR) return !isReferral(message);
  const { SERVFAIL, REFUSED, NOTIMP, FORMERR } = Rcode;
  return ![SERVFAIL, REFUSED, NOTIMP, FORMERR].some((rcode) => rcode === message.rcode);
}

/**
 * Whether the reply refers to other servers (RFC 2308 §2.2.1): it has neither an answer nor an SOA, and its server
 * claims neither authority nor recursion.
 */
export function isReferral(message: Message): boolean {
  const { answer, authority, rcode, authoritative, recursionDesired, recursionAvailable } = message;
  // To a question without RD the server's offer of recursion says nothing.
  const hasRecursed = recursionDesired && recursionAvailable;
  if (rcode !== Rcode.NOERROR || answer.length > 0 || authoritative || hasRecursed) return false;
  return !authority.some((rr) => rr.type === Type.SOA);
}
