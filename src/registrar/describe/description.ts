/**
 * registrar/describe/: Derives the records that one container should have, and their values in the store. Pure.
 * Imports: config, config/options, dns, dns/presentation, observability, registrar/engine, service.
 * Used by: app/registrar, cli, cli/host, cli/linking, registrar, registrar/links, registrar/observe,
 *   registrar/reconcile, registrar/registrator.
 *
 * `Description` is the result for one container: its records, and each refused value with the reason. The function that
 * makes it is in ../describeContainer.ts, because it also calls registrator/.
 */
import { printable } from '../../observability/printable.ts';
import type { LeaderRule } from '../../service/linking.ts';
import type { Nearness } from '../../service/service.ts';

/** A record that should be in the store. */
export interface DesiredRecord {
  /** The key of the name. For `auto` it lacks its last component, the number, which is claimed later. */
  readonly key: string;
  readonly instance: 'named' | 'auto';
  /** For `auto`: the number to claim if it is free; otherwise the smallest free number. */
  readonly preferredNumber?: number;
  /** Present if the name has addresses of both families: the record is for this family and lies below the name. */
  readonly family?: FamilyLabel;
  /** The key to use while `key` has another holder (two replicas with one registrator SERVICE_ID). */
  readonly keyIfTaken?: string;
  /** For the operator while the name has another holder. */
  readonly hintIfTaken?: string;
  /**
   * The key of a name that the container must hold first: for an ACME challenge, the name that needs the certificate.
   */
  readonly onlyBeside?: string;
  readonly fields: RecordFields;
  /** Present if this is a PTR record. */
  readonly pointer?: PointerTo;
  /** registrator's tags and attributes, stored with the owner's stamp. */
  readonly meta?: RecordMeta;
  /** The record is stored only while this check passes. */
  readonly check?: Check;
}

/**
 * The label of a family below its name.
 *
 * A name is one claim with one or two addresses. With one address its record is at the name's own key. A dual-stack
 * name has no record there. It has one below its key for each family: `web/ipv4` and `web/ipv6`. external-dns writes
 * the same keys: SkyDNS and CoreDNS answer A and AAAA at `web` from the records below it, and `targetstrip` makes `web`
 * the SRV target of both. So the holder of a name holds all three keys.
 */
export type FamilyLabel = 'ipv4' | 'ipv6';

/**
 * The members of SkyDNS's JSON, and those that only soradns reads (service/linking.ts). Unset ones are absent; `ttl` is
 * always set.
 */
export interface RecordFields extends RecordLinking {
  readonly host: string;
  /** `NO_SRV` for a record without a port: it answers A and AAAA, and no SRV query. */
  readonly port?: number;
  readonly priority?: number;
  readonly weight?: number;
  readonly text?: string;
  readonly mail?: boolean;
  readonly ttl: number;
  readonly targetstrip?: number;
  readonly group?: string;
  /** Records of other types, in the text of zone files. */
  readonly rr?: readonly string[];
  /** `false`: the names above the record leave it out. */
  readonly aggregate?: boolean;
  readonly near?: Nearness;
}

/** How other containers reach the container: through virtual addresses, as a leader, by tag. */
export interface RecordLinking {
  /** The container's own port. */
  readonly expose?: StoredPort;
  readonly tags?: readonly string[];
  /** `auto` or an address; `none` refuses one. */
  readonly vip?: string;
  readonly vipName?: string;
  readonly vipPort?: StoredPort;
  readonly leader?: LeaderRule;
  readonly proxyProtocol?: true;
}

/** `5432` for TCP, `53/udp` for UDP. */
export type StoredPort = number | `${number}/udp`;

/** The target of a PTR record, in addition to `fields.host`. */
export interface PointerTo {
  /** The key of an `auto` name, whose number goes before `fields.host`. */
  readonly numberedBy?: string;
}

/** The check that a service must pass for its record, from registrator's metadata. */
export type Check =
  | {
      readonly kind: 'http' | 'https';
      /** Printable ASCII that begins with a slash. */
      readonly path: string;
      readonly method: string;
      readonly intervalMs: number;
      readonly timeoutMs: number;
    }
  | { readonly kind: 'tcp'; readonly intervalMs: number; readonly timeoutMs: number };

export interface RecordMeta {
  readonly tags?: readonly string[];
  readonly attributes?: Readonly<Record<string, string>>;
}

export interface Refusal {
  /** The refused name, port or metadata key; printable. */
  readonly about: string;
  /** Completes the sentence that `about` begins: `is not a setting`. */
  readonly reason: string;
}

/** How soon a container that still runs after its stop signal is expected to end. */
export interface Draining {
  /** The limit for every container. `Infinity`: until the next start. */
  readonly maxSeconds: number;
  /**
   * A HEALTHCHECK that passes after this time shows that the container survived. Many programs still pass it while they
   * end. `Infinity`: health is ignored.
   */
  readonly healthySeconds: number;
}

/** Each reason completes a sentence that begins with "it": `has no metadata`. Each hint is a sentence of its own. */
export type Description =
  | {
      readonly kind: 'described';
      readonly records: readonly DesiredRecord[];
      readonly refusals: readonly Refusal[];
      /** When the records end: `drain`: at the stop signal; `die`: after the death. */
      readonly stop: 'drain' | 'die';
      readonly draining: Draining;
      /** Present if more records will follow: what they wait for. */
      readonly waiting?: string;
      readonly hints?: readonly string[];
    }
  /** Has no records, for example without metadata, or while it is not running or unhealthy. */
  | { readonly kind: 'ignored'; readonly reason: string; readonly hints?: readonly string[] }
  /** Will have records when a missing fact becomes known, for example its IP address. */
  | { readonly kind: 'waiting'; readonly reason: string; readonly hints?: readonly string[] };

const MAX_REFUSALS = 16;
const MAX_ABOUT = 80;
const MAX_REASON = 240;
const MAX_HINTS = 8;
const MAX_HINT = 300;

/**
 * The refusals of one container. The list and its texts are bounded and printable, because containers write the
 * metadata and status pages and terminals show it.
 */
export class Refusals {
  readonly #listed = new Map<string, Refusal>();
  #unlisted = 0;

  /** Lists each pair once, with printable and shortened text. */
  add(about: string, reason: string): void {
    if (this.isFull) {
      this.#unlisted++;
      return;
    }
    const refusal = { about: shown(about, MAX_ABOUT), reason: shown(reason, MAX_REASON) };
    this.#listed.set(`${refusal.about}\n${refusal.reason}`, refusal);
  }

  /** Whether further refusals are only counted. */
  get isFull(): boolean {
    return this.#listed.size >= MAX_REFUSALS;
  }

  list(): readonly Refusal[] {
    const listed = [...this.#listed.values()];
    if (this.#unlisted === 0) return listed;
    return [...listed, { about: '...', reason: `and ${this.#unlisted} more` }];
  }
}

/** A container's text for a message: one line, printable, at most `length` characters. */
export function shown(text: string, length: number = MAX_ABOUT): string {
  // Also shortened before escaping, so that megabytes of text cost no more than a long line.
  const escaped = printable(text.slice(0, length + 1));
  return escaped.length <= length ? escaped : `${escaped.slice(0, length - 3)}...`;
}

/** The reason to refuse a value; completes the sentence that its setting's name begins. */
export function isNot(value: string, expected: string): string {
  return `is "${shown(value, 40)}", which is not ${expected}`;
}

/** Sentences for the operator about a container without a fault. The list and its texts are bounded. */
export class Hints {
  readonly #listed = new Set<string>();
  #unlisted = 0;

  /** Lists each hint once, with printable and shortened text. */
  add(hint: string): void {
    if (this.#listed.size < MAX_HINTS) this.#listed.add(shown(hint, MAX_HINT));
    else this.#unlisted++;
  }

  /** The member of a description; absent without hints. */
  all(): { readonly hints?: readonly string[] } {
    if (this.#listed.size === 0) return {};
    const more = this.#unlisted === 0 ? [] : [`and ${this.#unlisted} more`];
    return { hints: [...this.#listed, ...more] };
  }
}
