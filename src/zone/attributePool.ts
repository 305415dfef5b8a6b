/**
 * Equal attributes as one object: a million services with port 8080 need not hold it a million times. Bounded: when more
 * kinds come than are worth remembering, the pool forgets them and begins anew; what was given out stays valid.
 */
import type { Attributes } from '../service/service.ts';

const MAX_KINDS = 4_096;

export class AttributePool {
  readonly #kinds = new Map<string, Attributes>();

  /** The same attributes, shared if equal ones were seen lately. Texts are mostly unique and are not shared. */
  share(attributes: Attributes): Attributes {
    const { port, priority, weight, text, mail, ttlSeconds, targetStrip, group } = attributes;
    if (text !== '') return attributes;
    const kind = `${port} ${priority} ${weight} ${mail} ${ttlSeconds} ${targetStrip} ${group}`;
    const known = this.#kinds.get(kind);
    if (known !== undefined) return known;
    if (this.#kinds.size >= MAX_KINDS) this.#kinds.clear();
    this.#kinds.set(kind, attributes);
    return attributes;
  }
}
