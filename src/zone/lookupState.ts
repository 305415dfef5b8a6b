/**
 * The account of one question: what it may still use up, whatever lies below its name, and what its answer rests on.
 * When an allowance is spent the answer is made from what was found.
 */
import type { Question } from '../dns/message.ts';
import type { Name } from '../dns/name.ts';
import type { View } from './view.ts';

export interface LookupState {
  readonly view: View;
  /** Services that it may collect in all. */
  servicesLeft: number;
  /** Nodes that it may look at. */
  nodesLeft: number;
  /** Names that it may follow. */
  namesLeft: number;
  /** Questions that it may send to other servers. */
  externalsLeft: number;
  /** See `Basis`. */
  readonly namesRead: Name[];
  isSample: boolean;
  isLeased: boolean;
  isForeign: boolean;
  leadsOutside: boolean;
  /** See `View.roomOctets`; of the question's own name only, which is selected first. */
  roomOctets: number | undefined;
  /** The selection stopped because the reply could not hold more: the client has to ask over TCP. */
  isCut: boolean;
  /** Questions for other servers without whose answers this one is incomplete. */
  readonly missing: MissingQuestion[];
}

export interface MissingQuestion {
  readonly question: Question;
  readonly need: Need;
}

/**
 * How much an answer needs what another server says, the least first. Without what is optional it is worth giving too:
 * addresses of targets, more of what there is some of already. Of alternatives one is enough.
 */
const NEEDS = ['optional', 'alternative', 'required'] as const;
export type Need = (typeof NEEDS)[number];

export function greaterNeed(a: Need, b: Need): Need {
  return NEEDS.indexOf(a) > NEEDS.indexOf(b) ? a : b;
}

/** What an answer rests on: with the same view at the same moment it stays true until one of these changes. */
export interface Basis {
  /** Folded names: whether there is anything at or below them, and what. */
  readonly names: readonly Name[];
  /** Not everything could be taken: the next question may get another part. */
  readonly isSample: boolean;
  /** The end of a lease limits a TTL, which therefore falls with every second. */
  readonly isLeased: boolean;
  /** Other servers' answers are in it. */
  readonly isForeign: boolean;
  /** Names outside our zones matter to it, so that a question with CD, with DO or without RD may get another answer. */
  readonly leadsOutside: boolean;
}

export function basisOf(state: LookupState): Basis {
  const { namesRead: read, isLeased, isForeign, leadsOutside } = state;
  const { servicesLeft, nodesLeft, namesLeft } = state;
  const isSpent = servicesLeft <= 0 || nodesLeft <= 0 || namesLeft <= 0;
  const isSample = state.isSample || state.isCut || isSpent;
  return { names: read, isSample, isLeased, isForeign, leadsOutside };
}

const MAX_SERVICES = 5_000;
const MAX_NODES = 20_000;
const MAX_NAMES = 100;
/** README tells users this number. What the forwarder has in its cache costs nothing and does not count. */
const MAX_EXTERNALS = 64;

export function newLookupState(view: View): LookupState {
  return {
    view,
    servicesLeft: MAX_SERVICES,
    nodesLeft: MAX_NODES,
    namesLeft: MAX_NAMES,
    externalsLeft: MAX_EXTERNALS - view.externals.sent,
    namesRead: [],
    isSample: false,
    isLeased: false,
    isForeign: false,
    leadsOutside: false,
    roomOctets: view.roomOctets,
    isCut: false,
    missing: [],
  };
}
