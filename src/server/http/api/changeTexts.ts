/**
 * The changes of a watch as lines of JSON. Watchers of the same prefix share the lines. Watchers of different prefixes
 * share the text of a large change.
 */
import type { Change } from '../../../service/change.ts';
import { changeToJson } from '../../../store/http/wire.ts';
import type { WatchBatch } from '../../../store/store.ts';

/** The approximate maximum length of a line. A longer batch becomes several lines. */
export const LINE_OCTETS = 256 * 1024;
/** A smaller text is copied into its line; a larger one is cached and shared. */
const LARGE_OCTETS = 64 * 1024;

/** The parts of one line. */
export type LineParts = readonly Buffer[];

export class ChangeTexts {
  readonly #large = new TextCache<Buffer>((text) => text.length);
  readonly #lines = new TextCache<LineParts[]>((lines) => lines.flat().reduce(sumOctets, 0));

  /** The lines of a batch in order; at least one. */
  linesOf(batch: WatchBatch): Iterable<LineParts> {
    const { changes } = batch;
    // Each watch reports once, with a batch of its own, that it is established.
    if (changes.length === 0) return this.#makeLines(batch);
    const isSmall = changes.every((change) => octetsOf(change) < LARGE_OCTETS);
    const makeAll = () => [...this.#makeLines(batch)];
    // The text of each large change is cached separately.
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

/** Joins the small texts into one part. Large texts stay separate, because other lines share them. */
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

const MAX_OCTETS = 8 * 1024 * 1024;
const FRESH_MS = 1_000;

interface CachedText<T> {
  readonly text: T;
  readonly octets: number;
  readonly atMs: number;
}

/**
 * A cache of recently created texts: a change in the store goes to all its watchers, and its text is created once. A
 * text contains the remaining time of leases, so the cache keeps it for `FRESH_MS` only. `T` is one text or
 * several; `octetsOf` returns its size.
 */
export class TextCache<T> {
  readonly #octetsOf: (text: T) => number;
  /** The oldest first. */
  readonly #cached = new Map<object, CachedText<T>>();
  #octets = 0;

  constructor(octetsOf: (text: T) => number) {
    this.#octetsOf = octetsOf;
  }

  /** The text of `subject`, an immutable object. */
  of(subject: object, make: () => T): T {
    const nowMs = performance.now();
    const cached = this.#cached.get(subject);
    if (cached !== undefined && nowMs - cached.atMs < FRESH_MS) return cached.text;
    const text = make();
    const added = { text, octets: this.#octetsOf(text), atMs: nowMs };
    this.#forget(subject);
    this.#cached.set(subject, added);
    this.#octets += added.octets;
    for (const oldest of this.#cached.keys()) {
      if (this.#octets <= MAX_OCTETS) break;
      this.#forget(oldest);
    }
    return text;
  }

  #forget(subject: object): void {
    this.#octets -= this.#cached.get(subject)?.octets ?? 0;
    this.#cached.delete(subject);
  }
}
