/** The RRsets of a response, and the response with their signatures. */
import type { Response } from '../dns/message.ts';
import type { Name } from '../dns/name.ts';
import { type Rr, rrsetKey, Type } from '../dns/rr.ts';
import { rrsigBeside } from './rrsig.ts';

/** The data of the RRSIGs of each RRset, by `rrsetKey`. */
type Signatures = ReadonlyMap<string, readonly Uint8Array[]>;

/** The RRsets of a section by `rrsetKey`, in the order of their first records. */
export function setsOf(rrs: readonly Rr[]): ReadonlyMap<string, readonly Rr[]> {
  const sets = new Map<string, Rr[]>();
  for (const rr of rrs) {
    const key = rrsetKey(rr);
    const set = sets.get(key);
    if (set === undefined) sets.set(key, [rr]);
    else set.push(rr);
  }
  return sets;
}

/** The names on which the types in an NSEC depend; see `Basis` of the zone. */
interface DenialBasis {
  readonly names: readonly Name[];
  readonly presences: readonly Name[];
  /** The NSEC may have a part of the types. */
  readonly isSample: boolean;
}

/** A signed answer, with all records in canonical order. */
export interface SignedForm {
  /** With the denial, but without the RRSIGs. */
  readonly response: Response;
  readonly signatures: Signatures;
  /** Seconds since 1970, when the first of the signatures is to be made again; infinite without signatures. */
  readonly refresh: number;
  /** What the denial depends on besides the answer. */
  readonly denial: DenialBasis | undefined;
}

/** The signed answer as a client gets it. `ordered` is the form's response, possibly in another order. */
export function signedResponse(ordered: Response, { signatures }: SignedForm): Response {
  return {
    ...ordered,
    answer: signedSection(ordered.answer, signatures),
    authority: signedSection(ordered.authority, signatures),
    additional: signedSection(signedAdditional(ordered), signatures),
  };
}

/**
 * The most RRsets of the additional section that are signed; the others are left out. Each takes 120 octets, so a
 * message of 1,232 octets never holds more.
 */
const MOST_SIGNED_ADDITIONAL = 8;

/** The RRsets of the additional section that a signed response has. */
export function signedAdditional({ additional, needsAdditional }: Response): readonly Rr[] {
  if (needsAdditional) return additional;
  const others = additional.filter(({ owner }) => !isAsterisk(owner));
  return firstSets(others, MOST_SIGNED_ADDITIONAL);
}

/**
 * An RRSIG of such an owner name is that of a wildcard (RFC 4034 §3.1.3): it would also prove answers about other names,
 * so no signature may be made.
 */
export function isAsterisk([label]: Name): boolean {
  return label === '*';
}

function signedSection(rrs: readonly Rr[], signatures: Signatures): readonly Rr[] {
  if (rrs.length === 0) return rrs;
  const keys = rrs.map(rrsetKey);
  return rrs.flatMap((rr, i) => {
    const key = keys[i] as string;
    const data = keys[i + 1] !== key && keys.lastIndexOf(key) === i ? signatures.get(key) : [];
    return [rr, ...(data ?? []).map((octets) => rrsigBeside(rr, octets))];
  });
}

/** The first RRsets of a section, at most `count`. */
function firstSets(rrs: readonly Rr[], count: number): readonly Rr[] {
  const keys = new Set([...setsOf(rrs).keys()].slice(0, count));
  return rrs.filter((rr) => keys.has(rrsetKey(rr)));
}

/** The name that a response is about at the end of its CNAMEs. */
export function lastNameOf(qname: Name, answer: readonly Rr[]): Name {
  const last = answer.findLast(({ type }) => type === Type.CNAME);
  return last?.rdata.kind === 'name' ? last.rdata.target : qname;
}
