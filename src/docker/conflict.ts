/** Why a container does not get a name, and what the operator can do about it, in words. PURE. */
import type { Assignment } from './assign.ts';
import { nameKeyOf } from './claim.ts';
import type { Namespace } from './namespace.ts';

export interface Conflict {
  /** Continues "it is" or the name to a sentence. */
  readonly reason: string;
  /** How the container gets into DNS all the same. */
  readonly hint?: string;
}

export function conflictOf(
  { wish, key, obstacle }: Extract<Assignment, { kind: 'taken' }>,
  namespace: Namespace,
): Conflict {
  const { holder } = obstacle;
  switch (obstacle.stands) {
    case 'at': {
      const { hintIfTaken: hint } = wish.record;
      return { reason: `held by ${holder}`, ...(hint === undefined ? {} : { hint }) };
    }
    case 'below': {
      // A name with both families has its records below it.
      const above = namespace.print(nameKeyOf(obstacle.key));
      const hint = `choose a name beside it, such as ${nameBeside(namespace.print(key), above)}`;
      return { reason: `stands below ${above}, which ${holder} holds`, hint };
    }
    case 'above':
      return {
        reason: `would be hidden by ${namespace.print(obstacle.key)}, which ${holder} holds`,
      };
  }
}

/** `replica.db.skydns.local` beside `db.skydns.local` is `replica-db.skydns.local`. */
function nameBeside(name: string, above: string): string {
  const front = name.slice(0, name.length - above.length - 1);
  return `${front.replaceAll('.', '-')}-${above}`;
}
