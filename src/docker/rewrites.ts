/**
 * Notices that somebody undoes what was written: the same is written again where it was the last thing written. Once
 * that is nothing, as anybody may delete a key. Again and again it is another registrar of the engine that knows other
 * containers and believes that it holds the lock: until one of them learns better, neither may be as fast as it can.
 */
import type { Operation } from './diff.ts';

interface Write {
  readonly operation: Operation;
  readonly leaseId: string;
}

const MAX_REMEMBERED = 10_000;

export class Rewrites {
  /** By key, the latest last. */
  readonly #writes = new Map<string, Write>();

  /** A write was done. Gives whether it is the same as the last one under that key. */
  note(operation: Operation, leaseId: string): boolean {
    const { key } = operation;
    const last = this.#writes.get(key);
    this.#writes.delete(key);
    this.#writes.set(key, { operation, leaseId });
    if (this.#writes.size > MAX_REMEMBERED) {
      const [oldest = ''] = this.#writes.keys();
      this.#writes.delete(oldest);
    }
    return last?.leaseId === leaseId && isSame(last.operation, operation);
  }
}

function isSame(one: Operation, other: Operation): boolean {
  if (one.kind === 'delete' || other.kind === 'delete') return one.kind === other.kind;
  return Buffer.compare(one.value, other.value) === 0;
}
