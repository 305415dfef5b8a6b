/** Answer blocks, as readers find them (`layout.ts`). */
import type { Heap } from './heap.ts';
import { AnswerField, Control, FOREVER, packHead } from './layout.ts';

/** An answer, without the fields that the table adds: its era and its size. */
export interface NewAnswer {
  readonly untilSecond: number;
  readonly ttlsAtSecond: number;
  readonly rcode: number;
  readonly authoritative: boolean;
  readonly plainOnly: boolean;
  readonly fixedOrder: boolean;
  readonly variants: number;
  /** The answer's words from `AnswerField.VARIANTS` on. */
  readonly words: Int32Array;
}

/** Writes an answer of the current era. Returns its address; 0 if there is no room. */
export function newAnswer(words: Int32Array, heap: Heap, answer: NewAnswer): number {
  return writeBlock(words, heap, answer, false);
}

/** As `newAnswer`, for the answer that all NODATA share: NOERROR with the zone's SOA. */
export function newNodata(words: Int32Array, heap: Heap): number {
  const holds = { untilSecond: FOREVER, ttlsAtSecond: 0, words: new Int32Array(0) };
  const flags = { authoritative: true, plainOnly: false, fixedOrder: false };
  return writeBlock(words, heap, { ...holds, ...flags, rcode: 0, variants: 0 }, true);
}

function writeBlock(
  words: Int32Array,
  heap: Heap,
  { untilSecond, ttlsAtSecond, words: content, ...flags }: NewAnswer,
  negative: boolean,
): number {
  const size = AnswerField.VARIANTS + content.length;
  const block = heap.allocate(size);
  if (block === 0) return 0;
  words[block + AnswerField.UNTIL] = untilSecond;
  words[block + AnswerField.TTLS_AT] = ttlsAtSecond;
  words[block + AnswerField.ERA] = words[Control.ERA] as number;
  words[block + AnswerField.HEAD] = packHead({ ...flags, negative, words: size });
  words.set(content, block + AnswerField.VARIANTS);
  return block;
}
