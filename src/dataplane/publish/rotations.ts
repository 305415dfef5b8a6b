/** The orders in which the records of an answer take turns. */
import type { Question, Response } from '../../dns/message.ts';
import { type Rr, Type } from '../../dns/rr.ts';
import type { View } from '../../zone/view.ts';
import { MAX_VARIANTS } from '../table/layout.ts';

export interface Rotations {
  readonly rotations: readonly Response[];
  /** Every record is first in one of them. */
  readonly isComplete: boolean;
  /** The first order is for all clients that can receive the answer whole. */
  readonly isFixed: boolean;
}

const ROUND_ROBIN_TYPES: readonly number[] = [Type.A, Type.AAAA, Type.SRV, Type.MX];

/**
 * Rotations of the RRset that was asked for. With round robin the first of them begins at a place that the view's turn
 * chooses; without it the order as it is comes first, and the others are there only if some client gets a part of the
 * answer (`mayBeCut`), so that all records are received by somebody.
 */
export function rotationsOf(
  { qtype }: Question,
  response: Response,
  view: View,
  mayBeCut: boolean,
): Rotations {
  const rrs = response.answer;
  const start = rrs.findIndex(({ type }) => type === qtype);
  const set = start < 0 ? [] : rrs.slice(start);
  const isRoundRobin = view.settings.roundRobin && ROUND_ROBIN_TYPES.includes(qtype);
  const isRotated = (isRoundRobin || mayBeCut) && set.length > 1;
  if (!isRotated || set.some(({ type }) => type !== qtype)) {
    return { rotations: [response], isComplete: true, isFixed: false };
  }
  const before = rrs.slice(0, start);
  const count = Math.min(set.length, MAX_VARIANTS);
  const first = isRoundRobin ? Math.floor(view.turn * set.length) : 0;
  const rotations = Array.from({ length: count }, (_, i) => {
    const from = first + Math.floor((i * set.length) / count);
    return { ...response, answer: [...before, ...rotated(set, from % set.length)] };
  });
  return { rotations, isComplete: count === set.length, isFixed: !isRoundRobin };
}

function rotated(rrs: readonly Rr[], from: number): Rr[] {
  return [...rrs.slice(from), ...rrs.slice(0, from)];
}
