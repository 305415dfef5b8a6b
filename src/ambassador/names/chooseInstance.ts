/**
 * Writes which instance leads a service. A write happens only if the choice is still the one that its writer has seen, so
 * of several writers that replace one choice at once exactly one succeeds.
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
  { name, instance, expected }: LeaderWish,
): Promise<ChoiceResult> {
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
  const value = Buffer.from(JSON.stringify({ instance: printName(instance) }));
  const result = await store.put(key, value, { if: condition });
  if (result.done) return { kind: 'chosen' };
  return { kind: 'conflict', current: choiceIn(result.current?.value) };
}

function isExpected(expected: Name | 'none', current: Name | undefined, exists: boolean): boolean {
  if (expected === 'none') return !exists;
  return current !== undefined && equalNames(current, expected);
}

function choiceIn(value: Uint8Array | undefined): Name | undefined {
  const parsed = value && parseLeaderChoice(value);
  return parsed?.kind === 'choice' ? parsed.instance : undefined;
}
