/**
 * ambassador/follow/: Keeps what routes need from the zone true: backends, ports, and the names that containers ask for.
 * Imports: ambassador, ambassador/names, dns, service, store, timing, zone/tree.
 * Used by: app/ambassador.
 *
 * `ZoneFollower` computes values from the zone and computes each again when a name that it depends on changes. It works
 * in the same turn of the event loop as the change, so a withdrawn backend gets no connection after DNS has forgotten it.
 */
import type { Name } from '../../dns/name.ts';
import type { Clock } from '../../timing/clock.ts';
import type { MissingQuestion } from '../../zone/tree/lookupState.ts';
import { NameDependents, type NamesUsed } from '../../zone/tree/nameDependents.ts';
import type { Node } from '../../zone/tree/tree.ts';
import type { External, Externals, NameFacts, View, ZoneSettings } from '../../zone/tree/view.ts';
import type { OutsideAnswers } from './outsideAnswers.ts';

/** The zone's data, and whether the store was read. */
export interface FollowedZone {
  readonly root: Node;
  readonly facts: NameFacts;
  settings(): ZoneSettings;
  isLoaded(): boolean;
}

/** A value computed from a view of the zone. */
export interface Computed<T> extends NamesUsed {
  readonly value: T;
  /** Questions to other servers that would complete the value. */
  readonly missing: readonly MissingQuestion[];
}

export interface Following<T> {
  /** Undefined until the store was read. */
  readonly value: T | undefined;
  /** Ends the calls of `onChange`. */
  close(): void;
}

export interface FollowOptions<T> {
  readonly compute: (view: View) => Computed<T>;
  readonly isSame: (a: T, b: T) => boolean;
  /** Called with each value that differs from the one before; must not throw. */
  readonly onChange: (value: T) => void;
}

export interface ZoneFollowerOptions {
  readonly zone: FollowedZone;
  readonly outside: Pick<OutsideAnswers, 'get' | 'ask' | 'sent'>;
  readonly clock: Clock;
  /** Receives errors that are bugs. Must not throw. */
  readonly onError: (error: unknown) => void;
}

export class ZoneFollower {
  readonly #options: ZoneFollowerOptions;
  readonly #all = new Set<FollowedValue>();
  readonly #dependents = new NameDependents<FollowedValue>();

  constructor(options: ZoneFollowerOptions) {
    this.#options = options;
  }

  follow<T>(options: FollowOptions<T>): Following<T> {
    const followed = new TypedFollowedValue(options);
    this.#all.add(followed);
    this.#update(followed);
    return {
      get value() {
        return followed.value;
      },
      close: () => {
        this.#all.delete(followed);
        this.#dependents.forget(followed);
      },
    };
  }

  /** Call this after each set of changes, with the nodes of their owner names. */
  onApplied(nodes: readonly Node[]): void {
    const { zone } = this.#options;
    if (this.#dependents.isEmpty || !zone.isLoaded()) return;
    this.#updateThose(this.#dependents.affected(zone.root, nodes));
  }

  /** Whether a value depends on the name, and not only on names above or below it. */
  isFollowed(name: Name): boolean {
    return this.#dependents.of(name).length > 0;
  }

  /** Call this when another server's answer about the name has changed. */
  onOutsideAnswer(name: Name): void {
    this.#updateThose(this.#dependents.of(name));
  }

  /** Computes everything again: the store was read, or the settings changed. */
  refresh(): void {
    for (const followed of [...this.#all]) this.#update(followed);
  }

  #updateThose(affected: Iterable<FollowedValue>): void {
    for (const followed of affected) if (this.#all.has(followed)) this.#update(followed);
  }

  #update(followed: FollowedValue): void {
    const { zone, outside, onError } = this.#options;
    if (!zone.isLoaded()) return;
    const externals = new ReadExternals(outside);
    try {
      const { names, presences, missing } = followed.update(this.#view(externals));
      this.#dependents.note(followed, { names: [...names, ...externals.names], presences });
      if (missing.length > 0) outside.ask(missing);
    } catch (error) {
      onError(error);
    }
  }

  #view(externals: Externals): View {
    const { zone, clock, onError } = this.#options;
    return {
      root: zone.root,
      settings: zone.settings(),
      nowMs: clock.monotonicMs(),
      unixSeconds: Math.floor(clock.wallMs() / 1_000),
      sampleStart: 0,
      externals,
      facts: zone.facts,
      localAddress: undefined,
      recursionDesired: true,
      roomOctets: undefined,
      onFault: onError,
    };
  }
}

/** A followed value of any type. */
interface FollowedValue {
  /** Computes the value again, and calls back if it differs. */
  update(view: View): Omit<Computed<unknown>, 'value'>;
}

class TypedFollowedValue<T> implements FollowedValue {
  value: T | undefined;
  readonly #options: FollowOptions<T>;

  constructor(options: FollowOptions<T>) {
    this.#options = options;
  }

  update(view: View): Omit<Computed<T>, 'value'> {
    const { compute, isSame, onChange } = this.#options;
    const { value, ...basis } = compute(view);
    const isNew = this.value === undefined || !isSame(value, this.value);
    if (isNew) {
      this.value = value;
      onChange(value);
    }
    return basis;
  }
}

/** Notes the names that a computation asked about, answered or not. */
class ReadExternals implements Externals {
  readonly sent = 0;
  readonly names: Name[] = [];
  readonly #outside: Pick<OutsideAnswers, 'get'>;

  constructor(outside: Pick<OutsideAnswers, 'get'>) {
    this.#outside = outside;
  }

  get(qname: Name, qtype: number): External | undefined {
    this.names.push(qname);
    return this.#outside.get(qname, qtype);
  }
}
