/**
 * The changes of a watch as lines of JSON, for all who watch the same: each line is made once for all of a prefix, and
 * the text of a large change once for all prefixes that it is below.
 */
import type { Change } from '../../../service/change.ts';
import { changeToJson } from '../../../store/http/wire.ts';
import type { WatchBatch } from '../../../store/store.ts';

/** Lines are cut after about so many octets: no batch of large values becomes one text. */
export const LINE_OCTETS = 256 * 1024;
/** What is smaller is copied into its line. */
const LARGE_OCTETS = 64 * 1024;

/** The parts of one line. */
export type LineParts = readonly Buffer[];

export class ChangeTexts {
  readonly #large = new TextCache<Buffer>((text) => text.length);
  readonly #lines = new TextCache<LineParts[]>((lines) => lines.flat().reduce(sumOctets, 0));

  /** The lines of a batch, in order; at least one. */
  linesOf(batch: WatchBatch): Iterable<LineParts> {
    const { changes } = batch;
    const isSmall = changes.every((change) => octetsOf(change) < LARGE_OCTETS);
    const makeAll = () => [...this.#makeLines(batch)];
    // Lines of large changes consist of texts that are kept by themselves.
    return isSmall && changes.length <= MAX_KEPT_CHANGES
      ? this.#lines.of(batch, makeAll)
      : this.#makeLines(batch);
  }

  *#makeLines({ revision, changes }: WatchBatch): Generator<LineParts> {
    let group: Buffer[] = [];
    let octets = 0;
    for (const [index, change] of changes.entries()) {
      const text = this.#textOf(change);
      group.push(text);
      octets += text.length;
      if (octets <= LINE_OCTETS && index < changes.length - 1) continue;
      yield lineOf(revision, group, index < changes.length - 1);
      group = [];
      octets = 0;
    }
    if (changes.length === 0) yield lineOf(revision, [], false);
  }

  #textOf(change: Change): Buffer {
    const make = () => Buffer.from(JSON.stringify(changeToJson(change, performance.now())));
    return octetsOf(change) < LARGE_OCTETS ? make() : this.#large.of(change, make);
  }
}

const MAX_KEPT_CHANGES = 10_000;
const COMMA = Buffer.from(',');

/** In one part, but for the large texts, which stay what others write as well. */
function lineOf(revision: number, texts: readonly Buffer[], more: boolean): LineParts {
  const parts: Buffer[] = [Buffer.from(`{"revision":${revision},"changes":[`)];
  for (const [index, text] of texts.entries()) {
    if (index > 0) parts.push(COMMA);
    parts.push(text);
  }
  parts.push(Buffer.from(`],"more":${more}}\n`));
  return joined(parts);
}

function joined(parts: readonly Buffer[]): LineParts {
  const line: Buffer[] = [];
  let small: Buffer[] = [];
  for (const part of parts) {
    if (part.length < LARGE_OCTETS) small.push(part);
    else {
      line.push(Buffer.concat(small), part);
      small = [];
    }
  }
  return [...line, Buffer.concat(small)];
}

function octetsOf(change: Change): number {
  const value = change.kind === 'put' ? change.entry.value.length : 0;
  return value + (change.previous?.value.length ?? 0);
}

function sumOctets(sum: number, { length }: Buffer): number {
  return sum + length;
}

/**
 * Texts that were made a moment ago, for the next one who wants the same: a change in the store is told to all that
 * wait for it, and its text is made once. The time that a lease has left is part of a text, so none is kept for long.
 */
const MAX_OCTETS = 8 * 1024 * 1024;
const FRESH_MS = 1_000;

interface CachedText<T> {
  readonly text: T;
  readonly octets: number;
  readonly atMs: number;
}

/** `T` is a text, or several; `octetsOf` weighs it. */
export class TextCache<T> {
  readonly #octetsOf: (text: T) => number;
  /** The oldest first. */
  readonly #made = new Map<object, CachedText<T>>();
  #octets = 0;

  constructor(octetsOf: (text: T) => number) {
    this.#octetsOf = octetsOf;
  }

  /** The text of a thing, which does not change. */
  of(thing: object, make: () => T): T {
    const nowMs = performance.now();
    const known = this.#made.get(thing);
    if (known !== undefined && nowMs - known.atMs < FRESH_MS) return known.text;
    const text = make();
    const made = { text, octets: this.#octetsOf(text), atMs: nowMs };
    this.#forget(thing);
    this.#made.set(thing, made);
    this.#octets += made.octets;
    for (const oldest of this.#made.keys()) {
      if (this.#octets <= MAX_OCTETS) break;
      this.#forget(oldest);
    }
    return text;
  }

  #forget(thing: object): void {
    this.#octets -= this.#made.get(thing)?.octets ?? 0;
    this.#made.delete(thing);
  }
}
