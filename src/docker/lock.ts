/**
 * Who looks after an engine, in the store: `/registrar/<engine id>/holder` names the registrar and the lease of all its
 * records, and lives with that lease itself. Beside it stands `challenge` for a moment, when another one asks whether
 * the holder is alive: a holder that is deletes it.
 */
import type { Change, Entry } from '../service/change.ts';
import type { Replica } from '../store/mirror.ts';

/** Where all engines' are. */
export const LOCKS = '/registrar/';
const MAX_VALUE_OCTETS = 4096;

export interface LockKeys {
  /** Below which both are. */
  readonly prefix: string;
  readonly holder: string;
  readonly challenge: string;
}

export interface Holder {
  /** Another one for every run of a registrar. */
  readonly instance: string;
  /** For people: where it runs. */
  readonly host: string;
  /** The same for every run on one machine that follows the same engine, until the machine starts anew. */
  readonly place?: string | undefined;
  readonly lease: string;
  /** It has ended and left its records to whoever comes next. */
  readonly isReleased: boolean;
}

/** Engine ids contain colons, and none of what has a meaning in keys once it is escaped. */
export function lockKeys(engineId: string): LockKeys {
  const prefix = `${LOCKS}${encodeURIComponent(engineId)}/`;
  return { prefix, holder: `${prefix}holder`, challenge: `${prefix}challenge` };
}

/** Where a holder whose key is that is asked whether it is alive. */
export function challengeBeside(holderKey: string): string {
  return holderKey.replace(/[^/]*$/, 'challenge');
}

export function holderValue({ instance, host, place, lease, isReleased }: Holder): Uint8Array {
  const released = isReleased ? true : undefined;
  return new TextEncoder().encode(JSON.stringify({ instance, host, place, lease, released }));
}

/** `undefined` for what no registrar has written. Never throws. */
export function parseHolder(value: Uint8Array): Holder | undefined {
  if (value.length > MAX_VALUE_OCTETS) return undefined;
  try {
    const json: unknown = JSON.parse(Buffer.from(value).toString());
    if (typeof json !== 'object' || json === null) return undefined;
    const { instance, host, place, lease, released } = json as Record<string, unknown>;
    if (typeof instance !== 'string' || typeof host !== 'string' || typeof lease !== 'string')
      return undefined;
    const isReleased = released === true;
    return { instance, host, ...(typeof place === 'string' ? { place } : {}), lease, isReleased };
  } catch {
    return undefined;
  }
}

/** The two keys as the mirror has them. */
export class LockBoard implements Replica {
  readonly #entries = new Map<string, Entry>();
  readonly #onChange: () => void;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  apply(changes: readonly Change[]): void {
    for (const change of changes) {
      if (change.kind === 'put') this.#entries.set(change.entry.key, change.entry);
      else this.#entries.delete(change.key);
    }
    this.#onChange();
  }

  *revisions(): Generator<readonly [string, number]> {
    for (const [key, { modRevision }] of this.#entries) yield [key, modRevision];
  }
}
