/**
 * The leader of a name: the one of its instances that all servers name. It follows from what the store holds, so it is
 * an order, not a lock: a server that is cut off from the store may still name the previous leader.
 */
import { equalNames, foldName, type Name, parseName, printName } from '../dns/name.ts';
import { parseJsonValue } from './jsonValue.ts';
import type { LeaderRule } from './linking.ts';

/** An instance that is present. */
export interface Candidate {
  /** Its owner name. */
  readonly name: Name;
  /** `undefined`: `oldest`. */
  readonly rule: LeaderRule | undefined;
  readonly createRevision: number;
}

/**
 * The leading one of all instances of a name; `undefined` if none may lead. If one of them says `manual`, only the
 * chosen instance may lead. Else, if some say `yes`, only these may. Of those that may, the oldest leads. An instance
 * that says `never` never leads.
 */
export function chooseLeader<C extends Candidate>(
  candidates: readonly C[],
  chosen: Name | undefined,
): C | undefined {
  const willing = candidates.filter(({ rule }) => rule !== 'never');
  if (willing.some(({ rule }) => rule === 'manual')) {
    return oldestOf(willing.filter(({ name }) => chosen !== undefined && equalNames(name, chosen)));
  }
  const marked = willing.filter(({ rule }) => rule === 'yes');
  return oldestOf(marked.length > 0 ? marked : willing);
}

function oldestOf<C extends Candidate>(candidates: readonly C[]): C | undefined {
  let oldest: C | undefined;
  for (const each of candidates) if (oldest === undefined || isOlder(each, oldest)) oldest = each;
  return oldest;
}

/** Keys that one transaction created are equally old. */
function isOlder(a: Candidate, b: Candidate): boolean {
  if (a.createRevision !== b.createRevision) return a.createRevision < b.createRevision;
  return printName(a.name) < printName(b.name);
}

export type ParsedLeaderChoice =
  | { readonly kind: 'choice'; readonly instance: Name }
  | { readonly kind: 'invalid'; readonly reason: string };

const MAX_CHOICE_OCTETS = 4_096;

/** The folded name of the instance in `{"instance":"2.mysql.skydns.local."}`. Never throws. */
export function parseLeaderChoice(value: Uint8Array): ParsedLeaderChoice {
  const parsed = parseJsonValue(value, MAX_CHOICE_OCTETS);
  if (parsed.kind === 'invalid') return parsed;
  const { instance } = parsed.json;
  const name = typeof instance === 'string' ? parseName(instance) : undefined;
  if (name === undefined || name.length === 0) {
    return { kind: 'invalid', reason: 'instance: must be a domain name' };
  }
  return { kind: 'choice', instance: foldName(name) };
}
