/**
 * The order of an answer's records under round robin. `answer` gives records in one canonical order; every reply gets
 * an order of its own: the slow path shuffles, and the answer table holds rotations.
 */
import type { Question, Response } from '../dns/message.ts';
import { Type } from '../dns/rr.ts';
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

/** The response with the RRset of the qtype in random order, if round robin covers its type. */
export function inRandomOrder(
  question: Question,
  response: Response,
  { roundRobin }: ZoneSettings,
  random: () => number,
): Response {
  if (!roundRobin || !isRoundRobinType(question.qtype)) return response;
  const start = startOfRrset(question, response);
  if (start === undefined) return response;
  const answer = [...response.answer];
  shuffle(answer, random, start);
  return { ...response, answer };
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
