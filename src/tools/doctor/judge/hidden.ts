/** Whether values are hidden by names below theirs that another holder has, or by delegations. Pure. */
import type { Name } from '../../../dns/name.ts';
import { type Finding, findings } from './finding.ts';

/** Names without the final dot; `holder` is undefined for a value that was set by hand. */
export interface NameWithHolder {
  readonly name: string;
  readonly holder: string | undefined;
}

export interface HiddenName extends NameWithHolder {
  readonly by: NameWithHolder;
  /** The number of further names that hide it. */
  readonly more: number;
  readonly isByOthers: boolean;
}

export type HiddenFacts =
  | { readonly kind: 'unread' }
  | {
      readonly kind: 'read';
      readonly hidden: readonly HiddenName[];
      /** The names that are delegated to other name servers. */
      readonly delegations: readonly Name[];
      /** The values that these hide. */
      readonly delegatedCount: number;
      /** False if only the first `count` values were read. */
      readonly isWhole: boolean;
      readonly count: number;
    };

const MAX_WARNINGS = 5;
const ALL = 'soradns ls --hidden';

const { ok, warning } = findings('names');

export function judgeHidden(facts: HiddenFacts): readonly Finding[] {
  if (facts.kind === 'unread') return [];
  const { hidden, delegatedCount, isWhole, count } = facts;
  const taken = hidden.filter(({ isByOthers }) => isByOthers);
  const looked = isWhole ? '' : ` (of the first ${count} values)`;
  if (taken.length === 0) {
    const own = hidden.length === 1 ? '1 value' : `${hidden.length} values`;
    const byNames =
      hidden.length === 0
        ? 'no value is hidden by names below its own'
        : `${own} hidden by names below them with the same holder`;
    const byCuts = delegatedCount === 0 ? '' : `, ${delegatedCount} hidden by delegations`;
    const where = hidden.length + delegatedCount === 0 ? '' : `: ${ALL}`;
    return [ok(`${byNames}${byCuts}${where}${looked}`)];
  }
  const rest = taken.length - MAX_WARNINGS;
  return [
    ...taken.slice(0, MAX_WARNINGS).map((one) => warning(message(one), fixForHidden(one))),
    ...(rest > 0
      ? [warning(`${rest} more values are hidden by names with other holders${looked}`, ALL)]
      : []),
  ];
}

function message({ name, holder, by, more }: HiddenName): string {
  const others = more === 0 ? '' : ` and ${more} more`;
  return `${name} (${words(holder)}) is not answered, because it is hidden by ${by.name} (${words(by.holder)})${others}`;
}

function words(holder: string | undefined): string {
  return holder ?? 'set by hand';
}

/** A value that was set by hand can be removed; of two containers one needs another name. */
function fixForHidden({ name, holder, by, more }: HiddenName): string {
  if (by.holder === undefined && more === 0) return `soradns rm ${by.name}`;
  return holder === undefined ? `soradns rm ${name}` : ALL;
}
