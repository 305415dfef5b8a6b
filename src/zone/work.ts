/**
 * What one question may use up, whatever lies below its name: services it may collect in all, nodes it may look at,
 * names it may follow, and questions it may make others answer. When an allowance is spent the answer is made from what
 * was found.
 */
import type { Question } from '../dns/message.ts';
import type { View } from './view.ts';

export interface Work {
  readonly view: View;
  servicesLeft: number;
  nodesLeft: number;
  namesLeft: number;
  externalsLeft: number;
  /** Questions for other servers without whose answers this one is incomplete. */
  readonly missing: MissingQuestion[];
}

export interface MissingQuestion {
  readonly question: Question;
  /** The answer is worth giving without it too: addresses of targets, more of what there is some of already. */
  readonly isOptional: boolean;
}

const MAX_SERVICES = 5_000;
const MAX_NODES = 20_000;
const MAX_NAMES = 100;
/** In all rounds of a question together: the answers of earlier rounds are among `View.externals`. */
const MAX_EXTERNALS = 8;

export function newWork(view: View): Work {
  return {
    view,
    servicesLeft: MAX_SERVICES,
    nodesLeft: MAX_NODES,
    namesLeft: MAX_NAMES,
    externalsLeft: MAX_EXTERNALS - view.externals.size,
    missing: [],
  };
}
