/** The orders in which readers give out the records of an answer. */
import type { Question, Response } from '../../dns/message.ts';
import { type Rr, rankGroups } from '../../dns/rr.ts';
import { isRoundRobinType, startOfRrset } from '../../zone/rrset.ts';
import { MAX_VARIANTS } from '../table/layout.ts';

/** The orders that the table holds of an answer's records. */
export interface Rotations {
  readonly rotations: readonly Response[];
  /** Every record comes first in one of the rotations. */
  readonly isComplete: boolean;
  /** The first order is for all clients that can receive the answer whole. */
  readonly isFixed: boolean;
}

export interface RotationRules {
  readonly roundRobin: boolean;
  /** Some client gets a part of the answer. */
  readonly mayBeCut: boolean;
  /** A fraction of the set in [0, 1), at which the first rotation begins. */
  readonly start: number;
  /** The most rotations; default `MAX_VARIANTS`, which is also the most that a reader can choose from. */
  readonly most?: number;
}

/**
 * The rotations of the RRset that the question asks for: all of them, or `most` of a large set. The first begins at
 * `start`: readers count their replies to all names together, so two names that clients query alternately would
 * otherwise always begin with the same record. Without round robin the canonical order comes first. Then there are
 * further rotations only if some client gets a part of the answer, so that clients together receive all records. The
 * groups of a set stay in order, and each rotates by itself.
 */
export function rotationsOf(
  question: Question,
  response: Response,
  { roundRobin, mayBeCut, start, most = MAX_VARIANTS }: RotationRules,
): Rotations {
  const isRoundRobin = roundRobin && isRoundRobinType(question.qtype);
  const setAt = isRoundRobin || mayBeCut ? startOfRrset(question, response) : undefined;
  if (setAt === undefined) return { rotations: [response], isComplete: true, isFixed: false };
  const before = response.answer.slice(0, setAt);
  const groups = rankGroups(response.answer.slice(setAt));
  const count = countOfRotations(groups, Math.min(most, MAX_VARIANTS));
  const isComplete = groups.every(({ length }) => count >= length);
  const first = isRoundRobin ? start : 0;
  const rotations = Array.from({ length: count }, (_, i) => {
    const places = groups.map(({ length }) => placeIn(length, first, i, count));
    if (places.every((place) => place === 0)) return response;
    const set = groups.flatMap((group, at) => rotated(group, places[at] as number));
    return { ...response, answer: [...before, ...set] };
  });
  return { rotations, isComplete, isFixed: !isRoundRobin };
}

/** As many that the records of each group come first in it equally often; at least those of the first group do. */
function countOfRotations(groups: readonly (readonly Rr[])[], most: number): number {
  const [first = 1, ...others] = groups.map(({ length }) => length);
  if (first >= most) return most;
  const all = others.reduce(leastCommonMultiple, first);
  return all <= most ? all : most - (most % first);
}

function leastCommonMultiple(a: number, b: number): number {
  let [divisor, rest] = [a, b];
  while (rest > 0) [divisor, rest] = [rest, divisor % rest];
  return (a / divisor) * b;
}

/** Where the i-th of `count` rotations begins in a group. A group with more records is passed through evenly. */
function placeIn(length: number, start: number, i: number, count: number): number {
  const step = count > length ? i : Math.floor((i * length) / count);
  return (Math.floor(start * length) + step) % length;
}

function rotated(rrs: readonly Rr[], from: number): readonly Rr[] {
  return [...rrs.slice(from), ...rrs.slice(0, from)];
}
