/**
 * Keeps answers to wildcard questions for the rest of a second. Such a question may select every service, its answer is
 * never published, and a client can repeat it at no cost.
 *
 * Invariant: an answer is reused only within the second of the clock in which it was decided, and only while the zones'
 * data and settings are the same, so the zone would decide the same.
 */
import type { Question, Response } from '../dns/message.ts';
import { foldLabel, type Name, nameKey } from '../dns/name.ts';
import type { Rr } from '../dns/rr.ts';
import { isQuestionWildcard } from '../zone/tree/select.ts';
import type { View, ZoneSettings } from '../zone/tree/view.ts';

/** Few, because an answer over TCP may have more than a thousand records. */
const MAX_ENTRIES = 32;

interface KeptAnswer {
  readonly second: number;
  readonly settings: View['settings'];
  /** In the spelling of the answer's records. */
  readonly qname: Name;
  readonly response: Response;
}

export class WildcardAnswers {
  readonly #entries = new Map<string, KeptAnswer>();
  #version = 0;

  /** `version` changes with the zones' data. */
  get(question: Question, view: View, version: number): Response | undefined {
    if (version !== this.#version) {
      this.#version = version;
      this.#entries.clear();
    }
    const entry = this.#entries.get(keyOf(question, view));
    if (entry === undefined) return undefined;
    if (entry.second !== secondOf(view) || entry.settings !== view.settings) return undefined;
    const { response, qname } = entry;
    return { ...response, answer: spelledAs(question.qname, qname, response.answer) };
  }

  /** Keeps an answer that depends only on the zones' data, not on other servers nor on the client. */
  put(question: Question, view: View, response: Response): void {
    const key = keyOf(question, view);
    this.#entries.delete(key);
    if (this.#entries.size >= MAX_ENTRIES) {
      const [oldest = ''] = this.#entries.keys();
      this.#entries.delete(oldest);
    }
    const { settings } = view;
    const { qname } = question;
    this.#entries.set(key, { second: secondOf(view), settings, qname, response });
  }
}

export function isWildcardName(settings: ZoneSettings, qname: Name): boolean {
  return qname.some((label) => isQuestionWildcard(settings, foldLabel(label)));
}

/** Names with `any` and with `*` have the same key if they match the same labels. */
function keyOf(
  { qname, qtype }: Question,
  { roomOctets, recursionDesired, settings }: View,
): string {
  const name = qname.map((label) =>
    isQuestionWildcard(settings, foldLabel(label)) ? 'any' : foldLabel(label),
  );
  return `${nameKey(name)} ${qtype} ${roomOctets} ${recursionDesired}`;
}

function secondOf({ nowMs }: View): number {
  return Math.floor(nowMs / 1000);
}

/** The records with the qname in the spelling of this question. */
function spelledAs(qname: Name, before: Name, rrs: readonly Rr[]): Rr[] {
  return rrs.map((rr) => (rr.owner === before ? { ...rr, owner: qname } : rr));
}
