/**
 * registrar/describe/: The records that one container should have, from its inspection alone. Pure.
 * Imports: config, dns, observability, registrar/engine, service.
 * Used by: app/registrar, cli, registrar, registrar/observe, registrar/reconcile, registrar/registrator.
 *
 * What `describe` makes of a container: the records that it should have, and what was refused, with the reasons.
 */
import { printable } from '../../observability/printable.ts';
import type { Check } from './check.ts';
import type { FamilyLabel } from './record.ts';

/** A record as it should stand in the store. */
export interface DesiredRecord {
  /** The key of its name; for `auto` without its last component, the number, which is claimed with it. */
  readonly key: string;
  readonly instance: 'named' | 'auto';
  /** Of `auto`: the number to have if it is free. Otherwise it is the smallest free one. */
  readonly preferredNumber?: number;
  /** Present: the name has both families, and this is the record below it for one of them. */
  readonly family?: FamilyLabel;
  /** Where it goes while somebody else holds `key` (two replicas with one registrator SERVICE_ID). */
  readonly keyIfTaken?: string;
  /** What to tell the operator while somebody else holds the name. */
  readonly hintIfTaken?: string;
  /** Key of the name that the container must hold first: that of an ACME challenge is the name which it vouches for. */
  readonly onlyBeside?: string;
  readonly fields: RecordFields;
  /** Present: a PTR record. */
  readonly pointer?: PointerTo;
  /** registrator's tags and attributes, kept with the owner's stamp. */
  readonly meta?: RecordMeta;
  /** To be passed before the record is published, and all the while. */
  readonly check?: Check;
}

/** SkyDNS's JSON, without those that are not set. `ttl` always is. */
export interface RecordFields {
  readonly host: string;
  /** `NO_SRV` for an address alone: it answers A and AAAA, and is in no SRV answer. */
  readonly port?: number;
  readonly priority?: number;
  readonly weight?: number;
  readonly text?: string;
  readonly mail?: boolean;
  readonly ttl: number;
  readonly targetstrip?: number;
  readonly group?: string;
}

/** What a PTR record points to besides what `fields.host` says. */
export interface PointerTo {
  /** The key of an `auto` name, whose number is put in front of `fields.host`. */
  readonly numberedBy?: string;
}

export interface RecordMeta {
  readonly tags?: readonly string[];
  readonly attributes?: Readonly<Record<string, string>>;
}

export interface Refusal {
  /** The name, port or metadata key that it is about; printable. */
  readonly about: string;
  /** Continues `about` to a sentence: `is no setting`. */
  readonly reason: string;
}

/** How long after its stop signal a container that runs on is believed to be about to end. */
export interface Draining {
  /** Whatever it seems to be. `Infinity`: until its next start. */
  readonly maxSeconds: number;
  /** Although it passes its HEALTHCHECK, as many programs do while they end. `Infinity`: its health says nothing. */
  readonly healthySeconds: number;
}

/** Each reason continues "it" to a sentence: `has no metadata`. Hints are sentences of their own. */
export type Description =
  | {
      readonly kind: 'described';
      readonly records: readonly DesiredRecord[];
      readonly refusals: readonly Refusal[];
      /** `drain`: withdrawn at the stop signal; `die`: when it has ended. */
      readonly stop: 'drain' | 'die';
      readonly draining: Draining;
      /** Present: there will be more records, and this is what is not known yet. */
      readonly waiting?: string;
      readonly hints?: readonly string[];
    }
  /** Not published: no metadata, not running, unhealthy, switched off. */
  | { readonly kind: 'ignored'; readonly reason: string; readonly hints?: readonly string[] }
  /** Should be published and will be, but something is not known yet (no IP). */
  | { readonly kind: 'waiting'; readonly reason: string; readonly hints?: readonly string[] };

/**
 * What was refused of one container, in a bounded list: metadata is written by strangers, and whatever they write must
 * fit on a status page and be safe on a terminal.
 */

const MAX_REFUSALS = 16;
const MAX_ABOUT = 80;
const MAX_REASON = 240;

export class Refusals {
  readonly #listed = new Map<string, Refusal>();
  #unlisted = 0;

  /** Each pair is listed once. Text is made printable and cut. */
  add(about: string, reason: string): void {
    if (this.isFull) {
      this.#unlisted++;
      return;
    }
    const refusal = { about: shown(about, MAX_ABOUT), reason: shown(reason, MAX_REASON) };
    this.#listed.set(`${refusal.about}\n${refusal.reason}`, refusal);
  }

  /** Whether what is added now is only counted. */
  get isFull(): boolean {
    return this.#listed.size >= MAX_REFUSALS;
  }

  list(): readonly Refusal[] {
    const listed = [...this.#listed.values()];
    if (this.#unlisted === 0) return listed;
    return [...listed, { about: '...', reason: `and ${this.#unlisted} more` }];
  }
}

/** Text from a container as a message may show it: in one line, printable, at most `length` characters. */
export function shown(text: string, length: number = MAX_ABOUT): string {
  // Cut before escaping too, so that a text of megabytes costs no more than a long one.
  const escaped = printable(text.slice(0, length + 1));
  return escaped.length <= length ? escaped : `${escaped.slice(0, length - 3)}...`;
}

/** The reason to refuse a value, behind the name of what has it. */
export function isNot(value: string, expected: string): string {
  return `is "${shown(value, 40)}", which is not ${expected}`;
}
