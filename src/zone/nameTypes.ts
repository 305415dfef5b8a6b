/**
 * The types of the records that a name has, for the denial of others (RFC 4034 §4.1.2, RFC 9824 §3.1): exactly those for
 * which the zone has an answer. A resolver uses them for its other questions about the name, so a type that is missing
 * here takes records away from the name.
 */
import type { Question } from '../dns/message.ts';
import { equalNames, foldName, type Name } from '../dns/name.ts';
import { Class, Rcode, type Rr, Type } from '../dns/rr.ts';
import { answer } from './answer.ts';
import { aliasOf, cnameOf } from './chain.ts';
import { nearServicesAt } from './near.ts';
import { storedTypes } from './storedRecords.ts';
import { type Basis, basisOf, newLookupState } from './tree/lookupState.ts';
import { apexOf, type Externals, type View } from './tree/view.ts';

export interface NameTypes {
  readonly types: readonly number[];
  /** The CNAME of an alias. */
  readonly cname: readonly Rr[];
  /** The names on which the types depend, folded. */
  readonly names: readonly Name[];
  /** See `Basis.presences`. */
  readonly presences: readonly Name[];
  /** See `Basis.isSample`. */
  readonly isSample: boolean;
}

/** The types that a service can give to a name by its other fields than `rr`, except CNAME. */
const TYPES: readonly number[] = [
  Type.A,
  Type.AAAA,
  Type.SRV,
  Type.TXT,
  Type.MX,
  Type.PTR,
  Type.NS,
  Type.SOA,
];

/** Questions to other servers would take too long for a denial. */
const UNAVAILABLE: Externals = { get: () => ({ kind: 'unavailable' }), sent: 0 };

/**
 * The types of a name in one of our zones, except `absent`, which the caller knows that the name lacks. A type whose
 * records other servers decide counts as there.
 */
export function typesAt(view: View, name: Name, absent?: number): NameTypes {
  const asked: View = { ...view, externals: UNAVAILABLE, roomOctets: undefined };
  const services = ofServicesAt(asked, name);
  const { cname } = services;
  const isAlias = cname.length > 0;
  const all = [...new Set([...TYPES, ...services.stored])];
  const found = all.map((qtype) => recordsOf(asked, { qname: name, qtype, qclass: Class.IN }));
  const types = all.filter((type, i) => {
    if (type === absent) return false;
    const { own, mayLeadOutside } = found[i] as RecordsOfType;
    return own.length > 0 || (mayLeadOutside && !isAlias);
  });
  const bases = [services.basis, ...found.map(({ basis }) => basis)];
  return {
    types: isAlias ? [Type.CNAME, ...types] : types,
    cname,
    names: bases.flatMap((basis) => basis?.names ?? []),
    presences: bases.flatMap((basis) => basis?.presences ?? []),
    isSample: bases.some((basis) => basis?.isSample === true),
  };
}

interface OfServices {
  readonly cname: readonly Rr[];
  /** The types of the records in the fields `rr` of the name's services. */
  readonly stored: readonly number[];
  readonly basis: Basis | undefined;
}

/**
 * The CNAME comes from the services that decide the answers for the other types, not from a question for it, which also
 * finds a hidden value: the answer for a name with addresses would be a CNAME (RFC 6840 §4.3).
 */
function ofServicesAt(view: View, name: Name): OfServices {
  const apex = apexOf(view.settings, name);
  if (apex === undefined) return { cname: [], stored: [], basis: undefined };
  const state = newLookupState(view);
  const at = nearServicesAt(state, name, apex, Type.CNAME);
  const alias = at && aliasOf(state, name, apex, at);
  const stored = at ? storedTypes(state, { owner: name, apex, wildcard: at.wildcard }) : [];
  const cname = alias === undefined ? [] : [cnameOf(name, alias)];
  return { cname, stored, basis: basisOf(state, foldName(name)) };
}

interface RecordsOfType {
  /** Records of the type at the name itself. */
  readonly own: readonly Rr[];
  readonly mayLeadOutside: boolean;
  readonly basis: Basis | undefined;
}

function recordsOf(view: View, question: Question): RecordsOfType {
  const decision = answer(view, question);
  if (decision.kind !== 'response') return { own: [], mayLeadOutside: true, basis: undefined };
  const { response, basis } = decision;
  const own = response.answer.filter(
    ({ owner, type }) => type === question.qtype && equalNames(owner, question.qname),
  );
  return {
    own,
    mayLeadOutside: basis?.leadsOutside === true || response.rcode === Rcode.SERVFAIL,
    basis,
  };
}
