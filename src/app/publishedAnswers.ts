/** The answer table of a running server: made, filled by the publisher, and kept up with the clock. */
import { randomInt } from 'node:crypto';
import { Publisher } from '../dataplane/publish/publisher.ts';
import type { TableHandle } from '../dataplane/table/layout.ts';
import { AnswerTable, type TableStats } from '../dataplane/table/table.ts';
import type { Question } from '../dns/message.ts';
import type { MirrorEvent, MirrorState } from '../store/mirror.ts';
import type { Node } from '../zone/tree.ts';
import type { Externals, ZoneSettings } from '../zone/view.ts';
import { compactHeap } from './process/process.ts';

export interface PublishedAnswersOptions {
  /** At most so much memory; it is taken as it is needed. */
  readonly capacityOctets: number;
  /** The most that a reply may have. */
  readonly maxUdpOctets: number;
  readonly root: Node;
  readonly settings: () => ZoneSettings;
  readonly monotonicMs: () => number;
  readonly unixSeconds: () => number;
  /** A fault of ours; what could not be published is answered without the table. */
  readonly onError: (error: unknown) => void;
}

const REFRESH_MS = 500;
/** From so many answers on what working them out left behind is worth a collection, and so few are no burst any more. */
const BURST_ANSWERS = 50_000;
const CALM_ANSWERS = 1_000;
/** Below this a table is of no use. */
const LEAST_OCTETS = 1 << 22;

export class PublishedAnswers {
  readonly #table: AnswerTable;
  readonly #publisher: Publisher;
  readonly #timer: NodeJS.Timeout;
  readonly #onError: (error: unknown) => void;
  /** Answers held when the heap was last compacted, and at the last look. */
  #compactedAt = 0;
  #heldBefore = 0;

  constructor(options: PublishedAnswersOptions) {
    this.#table = reserve(options.capacityOctets, options.maxUdpOctets);
    this.#publisher = new Publisher({
      table: this.#table,
      random: Math.random,
      onFault: options.onError,
      ...options,
    });
    this.#onError = options.onError;
    this.#timer = setInterval(() => this.#tick(), REFRESH_MS).unref();
  }

  get handle(): TableHandle {
    return this.#table.handle;
  }

  get stats(): TableStats {
    return this.#table.stats;
  }

  /** See `CatalogOptions.onApplied`. */
  applied(nodes: readonly Node[]): void {
    this.#publisher.applied(nodes);
  }

  /** See `Publisher.publish`. Done in a moment: whoever asked gets the answer first. */
  publish(question: Question, externals: Externals): void {
    queueMicrotask(() => {
      try {
        this.#publisher.publish(question, externals);
      } catch (error) {
        this.#onError(error);
      }
    });
  }

  #tick(): void {
    this.refresh();
    const held = this.#table.stats.answers;
    const isCalm = held - this.#heldBefore < CALM_ANSWERS;
    this.#heldBefore = held;
    this.#compactedAt = Math.min(this.#compactedAt, held);
    // Not what is worked out again and again: a pause for that would come round as often.
    if (held - this.#compactedAt < BURST_ANSWERS || !isCalm) return;
    this.#compactedAt = held;
    compactHeap();
  }

  /** To be called when settings changed; the clock is looked at without being told. */
  refresh(): void {
    this.#publisher.refresh();
  }

  /** How many questions a second each thread leaves to the main one, which can log them. */
  set loggedPerSecond(questions: number) {
    this.#table.loggedPerSecond = questions;
  }

  /** To be called for what happens to the mirror, and with the state that it is in then. */
  follow(event: MirrorEvent, state: MirrorState): void {
    // After a success the mirror is in sync as soon as it has told of it.
    if (event.kind !== 'lost') this.#publisher.setFreshness('synced');
    else this.#publisher.setFreshness(state.kind);
  }

  /** A thread that read the table is no more. */
  forgetReader(thread: number): void {
    this.#table.forgetReader(thread);
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

/** As much address space as can be had: some containers have little. */
function reserve(capacityOctets: number, maxUdpOctets: number): AnswerTable {
  const seed = randomInt(2 ** 31);
  for (let octets = capacityOctets; octets > LEAST_OCTETS; octets /= 2) {
    try {
      return new AnswerTable(octets, seed, maxUdpOctets);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  return new AnswerTable(LEAST_OCTETS, seed, maxUdpOctets);
}
