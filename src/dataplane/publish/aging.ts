/**
 * How the TTLs of an answer fall with time. Leases end at whole seconds of the clock (`zone/ttl`), so that between two
 * moments a TTL either stays or falls by as many seconds as passed, unless it reaches one of its bounds. An answer is
 * published for as long as that holds for all of its records, which is seen by answering once more, in the future.
 */
import type { Question, Response } from '../../dns/message.ts';
import type { Rr } from '../../dns/rr.ts';
import { answer } from '../../zone/answer.ts';
import type { Basis } from '../../zone/lookupState.ts';
import type { View } from '../../zone/view.ts';

export interface Aging {
  /** For how long the TTLs are known; for ever when none of them falls. */
  readonly lifeSeconds: number;
  readonly falling: ReadonlySet<Rr>;
}

const STEADY: Aging = { lifeSeconds: Number.POSITIVE_INFINITY, falling: new Set() };

/** The longest first; with the last one every TTL falls by one second or not at all. */
const LIVES_SECONDS = [15, 5, 2, 1];

/** A lease may be renewed meanwhile, which nobody is told of: TTLs are then too low by a quarter at most. */
const LEAST_PART = 4;

/** How the response's TTLs fall from the moment of the view on. */
export function agedTogether(
  question: Question,
  response: Response,
  view: View,
  basis: Basis,
): Aging {
  if (!basis.isLeased) return STEADY;
  const rrs = rrsOf(response);
  const leastTtl = Math.min(...rrs.map(({ ttlSeconds }) => ttlSeconds));
  const longest = Math.max(1, Math.floor(leastTtl / LEAST_PART));
  for (const lifeSeconds of LIVES_SECONDS) {
    if (lifeSeconds > longest) continue;
    const falling = fallingIn(lifeSeconds, rrs, question, view);
    if (falling !== undefined) return { lifeSeconds, falling };
  }
  return { ...STEADY, lifeSeconds: 1 };
}

/** The records whose TTL falls throughout; `undefined` when one begins or ceases to fall meanwhile. */
function fallingIn(
  seconds: number,
  rrs: readonly Rr[],
  question: Question,
  view: View,
): ReadonlySet<Rr> | undefined {
  const later = answer({ ...view, nowMs: view.nowMs + seconds * 1000 }, question);
  if (later.kind !== 'response') return undefined;
  const laterRrs = rrsOf(later.response);
  if (laterRrs.length !== rrs.length) return undefined;
  const falling = new Set<Rr>();
  for (const [i, rr] of rrs.entries()) {
    const fall = rr.ttlSeconds - (laterRrs[i]?.ttlSeconds ?? 0);
    if (fall === seconds) falling.add(rr);
    else if (fall !== 0) return undefined;
  }
  return falling;
}

function rrsOf({ answer: rrs, authority, additional }: Response): Rr[] {
  return [...rrs, ...authority, ...additional];
}
