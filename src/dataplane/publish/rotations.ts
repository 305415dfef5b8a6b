/** The orders in which the records of an answer take turns (round robin). */
import type { Question, Response } from '../../dns/message.ts';
import { type Rr, Type } from '../../dns/rr.ts';
import type { View } from '../../zone/view.ts';
import { MAX_VARIANTS } from '../table/layout.ts';

export interface Rotations {
  readonly rotations: readonly Response[];
  /** Every record is first in one of them. */
  readonly isComplete: boolean;
}

const ROTATED: readonly number[] = [Type.A, Type.AAAA, Type.SRV, Type.MX];

/** Rotations of the RRset that was asked for; the first of them at a place that the view's turn chooses. */
export function rotationsOf({ qtype }: Question, response: Response, view: View): Rotations {
  const rrs = response.answer;
  const start = rrs.findIndex(({ type }) => type === qtype);
  const set = start < 0 ? [] : rrs.slice(start);
  const isRotated = view.settings.roundRobin && ROTATED.includes(qtype) && set.length > 1;
  if (!isRotated || set.some(({ type }) => type !== qtype)) {
    return { rotations: [response], isComplete: true };
  }
  const before = rrs.slice(0, start);
  const count = Math.min(set.length, MAX_VARIANTS);
  const first = Math.floor(view.turn * set.length);
  const rotations = Array.from({ length: count }, (_, i) => {
    const from = first + Math.floor((i * set.length) / count);
    return { ...response, answer: [...before, ...rotated(set, from % set.length)] };
  });
  return { rotations, isComplete: count === set.length };
}

function rotated(rrs: readonly Rr[], from: number): Rr[] {
  return [...rrs.slice(from), ...rrs.slice(0, from)];
}
