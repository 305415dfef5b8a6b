/**
 * The state of one look-up: its limits, which bound the work for any qname, and what the answer depends on. When a
 * limit is reached, the answer is made from what was found so far.
 */
import type { ExtendedError, Question } from '../../dns/message.ts';
import { equalNames, type Name } from '../../dns/name.ts';
import type { View } from './view.ts';

export interface LookupState {
  readonly view: View;
  /** Services that may still be selected. */
  servicesLeft: number;
  /** Nodes that may still be visited. */
  nodesLeft: number;
  /** Names that may still be followed. */
  namesLeft: number;
  /** Questions that may still be sent to other servers. */
  externalsLeft: number;
  /** See `Basis`. */
  readonly namesRead: Name[];
  readonly presencesRead: Name[];
  /** The names that a stored wildcard answers for. */
  readonly synthesized: Synthesized[];
  /** The labels that the question's name has in front of the wildcard's name change more than the owner name. */
  isUneven: boolean;
  isSample: boolean;
  isLeased: boolean;
  isForeign: boolean;
  leadsOutside: boolean;
  isPersonal: boolean;
  /** A name that was looked up has records in the field `rr` of its services. */
  hasStoredRecords: boolean;
  /** For the reply that denies the name. */
  denialReason: ExtendedError | undefined;
  /** See `View.roomOctets`. It limits the first selection only, which is that of the qname. */
  roomOctets: number | undefined;
  /** The selection stopped because the reply was full: the client has to ask over TCP. */
  isCut: boolean;
  /** Questions to other servers; this look-up needs their answers. */
  readonly missing: MissingQuestion[];
}

/** A name that does not exist, and the stored wildcard that answers for it. Both are folded. */
export interface Synthesized {
  readonly name: Name;
  /** It begins with `*`. */
  readonly wildcard: Name;
}

export interface MissingQuestion {
  readonly question: Question;
  readonly need: Need;
}

/**
 * How much an answer needs another server's answer, the least first. `optional`: the addresses of targets, and further
 * records of a name that has some. `alternative`: one of several suffices.
 */
const NEEDS = ['optional', 'alternative', 'required'] as const;
export type Need = (typeof NEEDS)[number];

export function greaterNeed(a: Need, b: Need): Need {
  return NEEDS.indexOf(a) > NEEDS.indexOf(b) ? a : b;
}

/** What an answer depends on: the same view gives the same answer until one of these changes. */
export interface Basis {
  /** Folded names at or below which services were looked for. */
  readonly names: readonly Name[];
  /** Folded names: the answer also depends on whether each of them exists. */
  readonly presences: readonly Name[];
  /** A stored wildcard answers for the question's name. */
  readonly synthesis: Synthesis | undefined;
  /** The answer has a part of the records; the next answer may have another part. */
  readonly isSample: boolean;
  /** The answer uses a service with a lease, which may limit its TTL. */
  readonly isLeased: boolean;
  /** The answer uses other servers' answers. */
  readonly isForeign: boolean;
  /**
   * The answer depends on names outside our zones: a question with CD, with DO or without RD may get another answer.
   */
  readonly leadsOutside: boolean;
  /** The answer depends on the address at which the question arrived. */
  readonly isPersonal: boolean;
  /** A name may have records of any type, so the answers for two types that we know nothing about may differ. */
  readonly hasStoredRecords: boolean;
}

export interface Synthesis {
  readonly wildcard: Name;
  /**
   * The wildcard answers all names alike: the answers differ only where they have the question's name. Otherwise other
   * names may get other records.
   */
  readonly isEven: boolean;
}

/** What the answer about a folded name was made from. */
export function basisOf(state: LookupState, name: Name): Basis {
  const { namesRead: read, presencesRead, isLeased, isForeign, leadsOutside, isPersonal } = state;
  const { servicesLeft, nodesLeft, namesLeft } = state;
  const isSpent = servicesLeft <= 0 || nodesLeft <= 0 || namesLeft <= 0;
  const isSample = state.isSample || state.isCut || isSpent;
  return {
    names: read,
    presences: presencesRead,
    synthesis: state.synthesized.length === 0 ? undefined : synthesisOf(state, name),
    isSample,
    isLeased,
    isForeign,
    leadsOutside,
    isPersonal,
    hasStoredRecords: state.hasStoredRecords,
  };
}

/** The stored wildcard that has answered for a folded name in this look-up. */
export function synthesisOf(
  { synthesized, isUneven }: LookupState,
  name: Name,
): Synthesis | undefined {
  const own = synthesized.find((each) => equalNames(each.name, name));
  if (own === undefined) return undefined;
  const { wildcard } = own;
  // If the answer leads to another such name, it leads that name to itself.
  const leadsBack = synthesized.some(
    (each) => equalNames(each.wildcard, wildcard) && !equalNames(each.name, name),
  );
  return { wildcard, isEven: !isUneven && !leadsBack };
}

const MAX_SERVICES = 5_000;
const MAX_NODES = 20_000;
const MAX_NAMES = 100;
/** The documentation states this number. Answers from the forwarder's cache do not count. */
const MAX_EXTERNALS = 64;

export function newLookupState(view: View): LookupState {
  return {
    view,
    servicesLeft: MAX_SERVICES,
    nodesLeft: MAX_NODES,
    namesLeft: MAX_NAMES,
    externalsLeft: MAX_EXTERNALS - view.externals.sent,
    namesRead: [],
    presencesRead: [],
    synthesized: [],
    isUneven: false,
    isSample: false,
    isLeased: false,
    isForeign: false,
    leadsOutside: false,
    isPersonal: false,
    hasStoredRecords: false,
    denialReason: undefined,
    roomOctets: view.roomOctets,
    isCut: false,
    missing: [],
  };
}
