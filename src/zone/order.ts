/**
 * The order of an answer's records under round robin. `answer` returns records in one canonical order; every reply gets
 * an order of its own: the slow path shuffles, and the answer table holds rotations. In the table the additional
 * section has one order.
 */
import type { Question, Response } from '../dns/message.ts';
import { nameKey } from '../dns/name.ts';
import { type Rr, Type } from '../dns/rr.ts';
import type { ZoneSettings } from './view.ts';

const ROUND_ROBIN_TYPES: readonly number[] = [Type.A, Type.AAAA, Type.SRV, Type.MX];

export function isRoundRobinType(qtype: number): boolean {
  return ROUND_ROBIN_TYPES.includes(qtype);
}

/**
 * The index in the answer section where the RRset of the qtype begins, after the CNAMEs that lead to it. `undefined` if
 * the RRset has fewer than two RRs, or if RRs of another type follow it.
 */
export function startOfRrset({ qtype }: Question, { answer }: Response): number | undefined {
  const start = answer.findIndex(({ type }) => type === qtype);
  if (start < 0 || answer.length - start < 2) return undefined;
  for (let i = start; i < answer.length; i++) if (answer[i]?.type !== qtype) return undefined;
  return start;
}

/** The response with the RRset of the qtype, and each set of addresses that goes with it, in random order. */
export function inRandomOrder(
  question: Question,
  response: Response,
  { roundRobin }: ZoneSettings,
  random: () => number,
): Response {
  if (!roundRobin) return response;
  const start = isRoundRobinType(question.qtype) ? startOfRrset(question, response) : undefined;
  const answer = [...response.answer];
  if (start !== undefined) shuffle(answer, random, start);
  const additional = setsOf(response.additional).flatMap((set) => shuffle(set, random));
  return { ...response, answer, additional };
}

/** Consecutive RRs of one owner name and type. */
function setsOf(rrs: readonly Rr[]): Rr[][] {
  const sets: Rr[][] = [];
  let last = '';
  for (const rr of rrs) {
    const key = `${rr.type} ${nameKey(rr.owner)}`;
    if (key === last) sets.at(-1)?.push(rr);
    else sets.push([rr]);
    last = key;
  }
  return sets;
}

/** Fisher–Yates, in place, of the items from `start` on. */
export function shuffle<T>(items: T[], random: () => number, start = 0): T[] {
  for (let i = items.length - 1; i > start; i--) {
    const j = start + Math.floor(random() * (i - start + 1));
    const item = items[i] as T;
    items[i] = items[j] as T;
    items[j] = item;
  }
  return items;
}
