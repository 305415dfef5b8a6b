/**
 * Writes which instance leads a service, or takes the choice back. A write happens only if the choice is still the one
 * that its writer has seen, so of several writers that replace one choice at once exactly one succeeds.
 */
import { equalNames, type Name, printName } from '../../dns/name.ts';
import { keyOfName, tablePrefix } from '../../service/key.ts';
import { parseLeaderChoice } from '../../service/leader.ts';
import type { Condition, Store } from '../../store/store.ts';

export interface LeaderWish {
  /** The name whose leader is chosen. */
  readonly name: Name;
  readonly instance: Name;
  /**
   * What the choice must be before the write; `none`: there must be no choice. Absent: it may be any, but must not change
   * between the look at it and the write.
   */
  readonly expected?: Name | 'none';
}

export type ChoiceResult =
  | { readonly kind: 'chosen' }
  /** The choice is another; undefined: there is none, or an invalid one. */
  | { readonly kind: 'conflict'; readonly current: Name | undefined }
  /** No key can stand for the name. */
  | { readonly kind: 'unstorable' };

/** `prefix`: of the names' keys, as `keyPrefix` returns it. Throws StoreError. */
export async function chooseInstance(
  store: Pick<Store, 'get' | 'put'>,
  prefix: string,
  wish: LeaderWish,
): Promise<ChoiceResult> {
  const seen = await lookAt(store, prefix, wish);
  if (seen.kind !== 'seen') return seen;
  const value = Buffer.from(JSON.stringify({ instance: printName(wish.instance) }));
  const result = await store.put(seen.key, value, { if: seen.condition });
  if (result.done) return { kind: 'chosen' };
  return { kind: 'conflict', current: choiceIn(result.current?.value) };
}

export type ClearedResult =
  | { readonly kind: 'cleared' }
  /** There is no choice. */
  | { readonly kind: 'absent' }
  | Exclude<ChoiceResult, { kind: 'chosen' }>;

/** Deletes the choice, also an invalid one. Throws StoreError. */
export async function clearChoice(
  store: Pick<Store, 'get' | 'delete'>,
  prefix: string,
  wish: Omit<LeaderWish, 'instance'>,
): Promise<ClearedResult> {
  const seen = await lookAt(store, prefix, wish);
  if (seen.kind !== 'seen') return seen;
  if (seen.condition.kind === 'absent') return { kind: 'absent' };
  const result = await store.delete(seen.key, { if: seen.condition });
  if (result.done) return { kind: 'cleared' };
  return { kind: 'conflict', current: choiceIn(result.current?.value) };
}

/** The condition under which the choice is still the one that was looked at. */
interface SeenChoice {
  readonly kind: 'seen';
  readonly key: string;
  readonly condition: Condition;
}

async function lookAt(
  store: Pick<Store, 'get'>,
  prefix: string,
  { name, expected }: Omit<LeaderWish, 'instance'>,
): Promise<SeenChoice | Exclude<ChoiceResult, { kind: 'chosen' }>> {
  const key = keyOfName(name, tablePrefix(prefix, 'leader'));
  if (key === undefined) return { kind: 'unstorable' };
  const { entry } = await store.get(key);
  const current = choiceIn(entry?.value);
  if (expected !== undefined && !isExpected(expected, current, entry !== undefined))
    return { kind: 'conflict', current };
  const condition: Condition =
    entry === undefined
      ? { kind: 'absent' }
      : { kind: 'modRevision', modRevision: entry.modRevision };
  return { kind: 'seen', key, condition };
}

function isExpected(expected: Name | 'none', current: Name | undefined, exists: boolean): boolean {
  if (expected === 'none') return !exists;
  return current !== undefined && equalNames(current, expected);
}

function choiceIn(value: Uint8Array | undefined): Name | undefined {
  const parsed = value && parseLeaderChoice(value);
  return parsed?.kind === 'choice' ? parsed.instance : undefined;
}
