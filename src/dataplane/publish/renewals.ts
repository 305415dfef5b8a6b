/**
 * Renews answers that clients ask for: when a change has withdrawn them, this file decides and publishes them again at
 * once. Otherwise the next question for each of them would be a miss, and to wake the main thread for one miss costs
 * several times what an answer costs.
 *
 * A renewed answer is renewed again only if a client has asked for it meanwhile, so at most one renewal of each answer
 * is in vain. An answer that needs other servers is left to the next question. After some renewals there are none for as
 * long as these took: many changes below a name whose answer takes long must leave time for other work.
 */
import { Cursor } from '../../dns/cursor.ts';
import type { Question } from '../../dns/message.ts';
import { Class } from '../../dns/rr.ts';
import { answer, type Decided } from '../../zone/answer.ts';
import type { Node } from '../../zone/tree/tree.ts';
import {
  type NameFacts,
  NO_EXTERNALS,
  type View,
  type ZoneSettings,
} from '../../zone/tree/view.ts';
import { TABLE_TYPES } from '../table/answerKinds.ts';
import type { AnswerTable } from '../table/table.ts';

export interface RenewalsOptions {
  readonly table: Pick<AnswerTable, 'maxUdpOctets'>;
  readonly root: Node;
  readonly settings: () => ZoneSettings;
  readonly facts: NameFacts;
  readonly monotonicMs: () => number;
  readonly unixSeconds: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  readonly publish: (decided: Decided) => void;
  /** Receives errors that are bugs. Must not throw. */
  readonly onError: (error: unknown) => void;
}

/** The names that are renewed after one turn of the event loop, and the time that this may take: misses wait meanwhile. */
const MOST_NAMES = 64;
const MOST_MS = 2;

export class Renewals {
  readonly #options: RenewalsOptions;
  /** By owner name in wire form: the bits of the kinds. */
  readonly #names = new Map<string, { readonly name: Uint8Array; kinds: number }>();
  #restUntilMs = 0;

  constructor(options: RenewalsOptions) {
    this.#options = options;
  }

  /** Whether `add` takes another name now. */
  get hasRoom(): boolean {
    return this.#names.size < MOST_NAMES && this.#options.monotonicMs() >= this.#restUntilMs;
  }

  /** Renews the name's answers of these kinds (`AnswerTable.withdraw`) after all changes of this turn. */
  add(name: Uint8Array, kinds: number): void {
    if (!this.hasRoom) return;
    if (this.#names.size === 0) queueMicrotask(() => this.#renewAll());
    const key = Buffer.from(name.buffer, name.byteOffset, name.length).toString('latin1');
    const kindsBefore = this.#names.get(key)?.kinds ?? 0;
    this.#names.set(key, { name, kinds: kindsBefore | kinds });
  }

  #renewAll(): void {
    const { monotonicMs, onError } = this.#options;
    const beganMs = monotonicMs();
    try {
      this.#renewUntil(beganMs + MOST_MS);
    } catch (error) {
      onError(error);
    }
    this.#names.clear();
    const endedMs = monotonicMs();
    this.#restUntilMs = endedMs + (endedMs - beganMs);
  }

  #renewUntil(untilMs: number): void {
    const view = this.#view();
    for (const { name, kinds } of this.#names.values()) {
      this.#renew(view, name, kinds);
      if (this.#options.monotonicMs() >= untilMs) return;
    }
  }

  #renew(view: View, name: Uint8Array, kinds: number): void {
    const qname = new Cursor(name).name();
    TABLE_TYPES.forEach(([, qtype], kind) => {
      if ((kinds & (1 << kind)) !== 0) this.#decide(view, { qname, qtype, qclass: Class.IN });
    });
  }

  #decide(view: View, question: Question): void {
    const decision = answer(view, question);
    if (decision.kind !== 'response' || decision.basis === undefined) return;
    const { response, basis } = decision;
    if (basis.leadsOutside || basis.isPersonal) return;
    this.#options.publish({ question, view, response, basis });
  }

  /** What an answer for every client depends on now. */
  #view(): View {
    const { table, root, settings, facts, monotonicMs, unixSeconds, random, onError } =
      this.#options;
    // In the order of the slow path's views: the code that reads views is faster if they all have one shape.
    return {
      root,
      settings: settings(),
      nowMs: monotonicMs(),
      unixSeconds: unixSeconds(),
      sampleStart: random(),
      externals: NO_EXTERNALS,
      facts,
      localAddress: undefined,
      recursionDesired: true,
      roomOctets: table.maxUdpOctets,
      onFault: onError,
    };
  }
}
