/** A decided answer, or its signed form, as the table holds it. */
import type { Response } from '../../dns/message.ts';
import type { Name } from '../../dns/name.ts';
import { type SignedForm, signedResponse } from '../../sign/signedSections.ts';
import type { Decided } from '../../zone/answer.ts';
import { kindOf, OTHER_KIND } from '../table/answerKinds.ts';
import type { NewAnswer } from '../table/answers.ts';
import { FOREVER } from '../table/layout.ts';
import { rotationsOf } from './rotations.ts';
import { lengthsBelow, templateLists } from './templates.ts';
import { falls, lifeSeconds } from './validity.ts';
import {
  encodeBehindQuestion,
  mayBeTruncated,
  receivable,
  typedWords,
  variantsOf,
} from './variants.ts';

export interface EncodingLimits {
  /** Octets of the longest reply from the table. */
  readonly maxUdpOctets: number;
  /** A fraction of the set in [0, 1), at which the first rotation begins. */
  readonly start: number;
  readonly unixSeconds: number;
}

/** What makes the table's answer another one than the decided one. At most one of them is set. */
export interface AnswerForm {
  /** For clients with DO. */
  readonly form?: SignedForm | undefined;
  /** Of the stored wildcard whose answer this is. */
  readonly encloser?: Name | undefined;
}

/**
 * The question's name is in lower case. `undefined` if the table cannot hold the answer: no client could get a record of
 * it. Signatures are inserted into each order of the records: they are those of all orders.
 */
export function encodedAnswer(
  { question, view, response: plain, basis }: Decided,
  { maxUdpOctets, start, unixSeconds }: EncodingLimits,
  { form, encloser }: AnswerForm,
): NewAnswer | undefined {
  const { settings } = view;
  const response = form?.response ?? plain;
  const lengths = encloser && lengthsBelow(encloser);
  const whole = (order: Response): Response =>
    form === undefined ? order : signedResponse(order, form);
  const encode = (order: Response) =>
    encodeBehindQuestion(question, whole(order), maxUdpOctets, lengths);
  const encoded = encode(response);
  const mayBeCut = mayBeTruncated(encoded);
  const rules = { roundRobin: settings.roundRobin, mayBeCut, start };
  const { rotations, isComplete, isFixed } = rotationsOf(question, response, rules);
  const orders = receivable(
    rotations.map((order) => {
      const inOrder = order === response ? encoded : encode(order);
      const lists = encloser && templateLists(inOrder.octets, question.qname);
      return { response: whole(order), encoded: inOrder, lists };
    }),
  );
  if (orders.length === 0) return undefined;
  if (encloser !== undefined && orders.some(({ lists }) => lists === undefined)) return undefined;
  const variants = variantsOf(orders, (rr) => falls(rr, settings));
  const second = secondOf(view.nowMs);
  const life = lifeSeconds(response, basis, settings, isComplete, unixSeconds);
  const untilRefresh =
    form === undefined ? Number.POSITIVE_INFINITY : Math.max(0, form.refresh - unixSeconds);
  return {
    untilSecond: Math.min(second + Math.min(life, untilRefresh), FOREVER),
    ttlsAtSecond: second,
    rcode: response.rcode,
    authoritative: response.authoritative,
    plainOnly: basis.leadsOutside,
    fixedOrder: isFixed,
    variants: variants.count,
    words:
      kindOf(question.qtype) === OTHER_KIND
        ? typedWords(variants, question, basis)
        : variants.words,
  };
}

export function secondOf(ms: number): number {
  return Math.floor(ms / 1000);
}

/** Whether the response has only the zone's SOA. */
export function isNodata({ answer, authority }: Response): boolean {
  return answer.length === 0 && authority.length > 0;
}
