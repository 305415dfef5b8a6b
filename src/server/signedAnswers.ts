/**
 * Signs the answers about our zones for clients with DO (RFC 4035 §3.1), and denies by compact denial (RFC 9824). It
 * signs RRsets, not messages: what exists comes from the zone, and each RRset gets the signatures of its own zone.
 */
import {
  authoritative,
  Ede,
  type Query,
  type Question,
  type Response,
  refused,
  servfail,
} from '../dns/message.ts';
import { equalNames, type Name } from '../dns/name.ts';
import { Rcode, type Rr, Type } from '../dns/rr.ts';
import { keyRecords } from '../sign/delegation.ts';
import { nsecOfMissingName, nsecOfName } from '../sign/denial.ts';
import { unsignedSet } from '../sign/rrsig.ts';
import {
  isAsterisk,
  lastNameOf,
  type SignedForm,
  setsOf,
  signedAdditional,
  signedResponse,
} from '../sign/signedSections.ts';
import type { ZoneKeys } from '../sign/zoneKeys.ts';
import { type NameTypes, typesAt } from '../zone/nameTypes.ts';
import type { Basis } from '../zone/tree/lookupState.ts';
import { leaseLeftOf } from '../zone/tree/ttl.ts';
import { apexOf, parentApexOf, type View, type ZoneSettings } from '../zone/tree/view.ts';
import type { SetSignatures, Signer, SigningJob } from './signer.ts';

export interface SignedAnswersOptions {
  /** No zone has keys. */
  readonly isIdle: () => boolean;
  /** The keys of the zone with this folded apex; `undefined` if it has none. */
  readonly keysOf: (apex: Name) => ZoneKeys | undefined;
  readonly signer: Signer;
  /** Receives errors that are bugs. Must not throw. */
  readonly onError: (error: unknown) => void;
}

/** A decision about our names, for one client. */
export interface SigningRequest {
  readonly query: Query;
  /** The client waits for its turn, if many signatures are being made. */
  readonly canWait: boolean;
  readonly view: View;
  readonly question: Question;
  readonly response: Response;
  readonly basis: Basis | undefined;
}

type SigningOutcome =
  | { readonly kind: 'signed'; readonly form: SignedForm }
  /** The response as it is: none of its records are in a signed zone. */
  | { readonly kind: 'unsigned'; readonly response: Response };

export class SignedAnswers {
  readonly #options: SignedAnswersOptions;

  constructor(options: SignedAnswersOptions) {
    this.#options = options;
  }

  /** The response to a question for one of DNSSEC's own types, which the services do not have; with and without DO. */
  ownResponse(view: View, question: Question, response: Response): Response {
    if (this.#options.isIdle()) return response;
    const { qname, qtype } = question;
    switch (qtype) {
      case Type.DNSKEY:
      case Type.CDS:
      case Type.CDNSKEY:
      case Type.DS:
        return this.#withKeyRecords(view, question, response);
      case Type.RRSIG:
        return this.#signingKeys(view.settings, qname) === undefined ? response : RRSIG_REFUSAL;
      case Type.NSEC: {
        const soa = response.authority.find(({ type }) => type === Type.SOA);
        const isNodata = response.rcode === Rcode.NOERROR && response.answer.length === 0;
        if (!isNodata || soa === undefined || this.#signingKeys(view.settings, qname) === undefined)
          return response;
        return authoritative(Rcode.NOERROR, [this.#nsecAt(view, qname, soa.ttlSeconds).nsec]);
      }
      default:
        return response;
    }
  }

  /**
   * The response for a client with DO; a promise if a signature has to be made. `finished` sets the order of the records
   * and marks stale data. `onSigned` receives the form for the answer table.
   */
  respond(
    request: SigningRequest,
    finished: (response: Response) => Response,
    onSigned?: (form: SignedForm) => void,
  ): Response | Promise<Response> {
    const take = (outcome: SigningOutcome): Response => {
      if (outcome.kind === 'unsigned') return finished(outcome.response);
      onSigned?.(outcome.form);
      const response = signedResponse(finished(outcome.form.response), outcome.form);
      // RFC 9824 §5.1: in every reply to a client that sends the flag.
      return { ...response, compactOk: request.query.edns?.compactOk };
    };
    const outcome = this.#sign(request);
    return outcome instanceof Promise ? outcome.then(take) : take(outcome);
  }

  #sign(request: SigningRequest): SigningOutcome | Promise<SigningOutcome> {
    const { view, question, response } = request;
    if (this.#options.isIdle()) return unsigned(response);
    const isSigned = this.#signingKeys(view.settings, question.qname) !== undefined;
    if (isSigned && isAsterisk(question.qname)) return unsigned(WILDCARD_REFUSAL);
    if (response.rcode !== Rcode.NOERROR && response.rcode !== Rcode.NXDOMAIN)
      return unsigned(response);
    // A part of an RRset cannot be validated: the client asks again over TCP.
    if (isSigned && response.truncated === true) return unsigned(TRUNCATED);
    const { denied, denial, isMissing } = this.#withDenial(request);
    // An alias may lead to such a name.
    const owners = [...denied.answer, ...denied.authority].map(({ owner }) => owner);
    if (
      owners.some(
        (owner) => isAsterisk(owner) && this.#signingKeys(view.settings, owner) !== undefined,
      )
    )
      return unsigned(WILDCARD_REFUSAL);
    const jobs = this.#jobsOf(request, denied, isMissing);
    if (jobs.length === 0) return unsigned(denied);
    const { canWait } = request;
    const made = this.#options.signer.sign(
      jobs.map(({ job }) => job),
      canWait,
    );
    const finish = (each: readonly SetSignatures[] | undefined): SigningOutcome =>
      each === undefined
        ? unsigned(canWait ? TOO_MANY : TRUNCATED)
        : { kind: 'signed', form: { response: denied, denial, ...collected(jobs, each) } };
    if (!(made instanceof Promise)) return finish(made);
    return made.then(finish, (error) => {
      this.#options.onError(error);
      return unsigned(response);
    });
  }

  /** The response with the key records of the zone that begins at its last name, if that zone has keys. */
  #withKeyRecords({ settings }: View, { qname, qtype }: Question, response: Response): Response {
    const cnames = response.answer.filter(({ type }) => type === Type.CNAME);
    const name = lastNameOf(qname, cnames);
    const apex = apexOf(settings, name);
    if (apex === undefined || !equalNames(apex, name)) return response;
    // The zone above answers DS.
    if (qtype === Type.DS && parentApexOf(settings, name) === undefined) return response;
    const keys = this.#options.keysOf(apex);
    const rrs = keys && keyRecords(name, qtype, keys, settings.ttlSeconds);
    return rrs && rrs.length > 0 ? authoritative(Rcode.NOERROR, [...cnames, ...rrs]) : response;
  }

  /** The keys that sign records at a name; `undefined` if its zone is not signed. */
  #signingKeys(settings: ZoneSettings, name: Name): ZoneKeys | undefined {
    const apex = apexOf(settings, name);
    const keys = apex && this.#options.keysOf(apex);
    return keys !== undefined && keys.zoneSigning.length > 0 ? keys : undefined;
  }

  #withDenial({ query, view, question, response }: SigningRequest): {
    readonly denied: Response;
    readonly denial: NameTypes | undefined;
    readonly isMissing: boolean;
  } {
    const { answer: rrs, authority } = response;
    const referred = this.#provenReferral(view, response);
    if (referred !== undefined) return { denied: referred, denial: undefined, isMissing: false };
    const soa = authority.find(({ type }) => type === Type.SOA);
    const name = lastNameOf(question.qname, rrs);
    if (soa === undefined || rrs.some(({ type }) => type === question.qtype))
      return { denied: response, denial: undefined, isMissing: false };
    const isOfParent = question.qtype === Type.DS;
    const parent = isOfParent ? parentApexOf(view.settings, name) : undefined;
    if (this.#signingKeys(view.settings, parent ?? name) === undefined)
      return { denied: response, denial: undefined, isMissing: false };
    const { ttlSeconds } = soa;
    if (response.rcode === Rcode.NXDOMAIN) {
      const nsec = nsecOfMissingName(name, ttlSeconds);
      // With NXDOMAIN and this NSEC alone validators call the reply bogus, unless they know compact denial.
      const rcode = query.edns?.compactOk === true ? Rcode.NXDOMAIN : Rcode.NOERROR;
      const limitedAs = soa.owner;
      const denied = { ...response, rcode, limitedAs, authority: [...authority, nsec] };
      return { denied, denial: undefined, isMissing: true };
    }
    if (parent !== undefined) {
      const nsec = nsecOfName(name, [Type.NS], ttlSeconds);
      const denied = { ...response, authority: [...authority, nsec] };
      return { denied, denial: undefined, isMissing: false };
    }
    const { nsec, denial } = this.#nsecAt(view, name, ttlSeconds, question.qtype);
    // An alias whose target has no such records is still an alias: its NSEC cannot deny other types (RFC 6840 §4.3).
    const denied =
      denial.cname.length > 0 && rrs.length === 0
        ? authoritative(Rcode.NOERROR, denial.cname)
        : { ...response, authority: [...authority, nsec] };
    return { denied, denial, isMissing: false };
  }

  /** The referral, with the proof that there is no DS if it has none (RFC 4035 §3.1.4). */
  #provenReferral({ settings }: View, response: Response): Response | undefined {
    const [ns] = response.authority;
    if (response.authoritative || ns?.type !== Type.NS) return undefined;
    const parent = parentApexOf(settings, ns.owner);
    const hasDs = response.authority.some(({ type }) => type === Type.DS);
    if (parent === undefined || hasDs || this.#signingKeys(settings, parent) === undefined)
      return response;
    const nsec = nsecOfName(ns.owner, [Type.NS], settings.minTtlSeconds);
    return { ...response, authority: [...response.authority, nsec] };
  }

  #nsecAt(
    view: View,
    name: Name,
    ttlSeconds: number,
    absent?: number,
  ): { readonly nsec: Rr; readonly denial: NameTypes } {
    const denial = typesAt(view, name, absent);
    const apex = apexOf(view.settings, name);
    const keys =
      apex !== undefined && equalNames(apex, name) ? this.#options.keysOf(apex) : undefined;
    const keyTypes = [Type.DNSKEY, Type.CDS, Type.CDNSKEY].filter(
      (type) => keys !== undefined && keyRecords(name, type, keys, ttlSeconds).length > 0,
    );
    return { nsec: nsecOfName(name, [...denial.types, ...keyTypes], ttlSeconds), denial };
  }

  /** The RRsets of the response that our keys sign. */
  #jobsOf(
    { view, question, basis }: SigningRequest,
    denied: Response,
    isMissing: boolean,
  ): KeyedJob[] {
    const additional = signedAdditional(denied);
    const isInvented = isMissing || basis?.synthesis !== undefined;
    const { settings } = view;
    // If one of our zones begins at the name, it has an NSEC of its own there.
    const isOfParent = ({ owner, type }: Rr): boolean =>
      (type === Type.DS || type === Type.NSEC) &&
      (question.qtype === Type.DS || settings.forwarded.cutAt(owner) !== undefined);
    return [...setsOf([...denied.answer, ...denied.authority, ...additional])].flatMap(
      ([key, rrs]) => {
        const [first] = rrs as readonly [Rr, ...Rr[]];
        const { owner, type } = first;
        if (type === Type.RRSIG) return [];
        const parent = isOfParent(first) ? parentApexOf(settings, owner) : undefined;
        const keys = this.#signingKeys(settings, parent ?? owner);
        if (keys === undefined) return [];
        const isKeyData = type === Type.DNSKEY || type === Type.CDS || type === Type.CDNSKEY;
        const ttl = Math.min(...rrs.map((rr) => originalTtl(rr, basis?.isForeign === true)));
        const job: SigningJob = {
          set: unsignedSet(rrs, ttl),
          keys: isKeyData ? keys.keySigning : keys.zoneSigning,
          isOfInventedName: isInvented && equalNames(owner, question.qname),
        };
        return [{ key, job }];
      },
    );
  }
}

interface KeyedJob {
  readonly key: string;
  readonly job: SigningJob;
}

function collected(
  jobs: readonly KeyedJob[],
  each: readonly SetSignatures[],
): Pick<SignedForm, 'signatures' | 'refresh'> {
  const signatures = new Map(jobs.map(({ key }, i) => [key, each[i]?.data ?? []]));
  return { signatures, refresh: Math.min(...each.map(({ refresh }) => refresh)) };
}

/**
 * A TTL that falls is signed as the next power of two: validators accept every lower one (RFC 4035 §5.3.3), and so one
 * signature serves for long.
 */
function originalTtl(rr: Rr, isForeign: boolean): number {
  const { ttlSeconds } = rr;
  if (!isForeign && leaseLeftOf(rr) > ttlSeconds) return ttlSeconds;
  return ttlSeconds < 1 ? ttlSeconds : Math.min(2 ** Math.ceil(Math.log2(ttlSeconds)), 2 ** 31 - 1);
}

function unsigned(response: Response): SigningOutcome {
  return { kind: 'unsigned', response };
}

const RRSIG_REFUSAL = refused('RRSIGs come with what they sign', Ede.NOT_SUPPORTED);
const WILDCARD_REFUSAL = refused('answers for * are not signed', Ede.RRSIGS_MISSING);
const TRUNCATED: Response = { ...authoritative(Rcode.NOERROR, []), truncated: true };
const TOO_MANY = servfail(Ede.OTHER, 'too many signatures are being made');

/** RFC 9824 §3.1: NXNAME is no type to ask for. */
export const NXNAME_REFUSAL: Response = {
  ...refused('NXNAME is not a type to ask for', Ede.INVALID_QTYPE),
  rcode: Rcode.FORMERR,
};
