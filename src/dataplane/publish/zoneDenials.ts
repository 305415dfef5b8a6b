/**
 * What the table needs for names that it lacks: the replies that deny names and types of each zone, and the rules about
 * derived names. Both are replaced as a whole.
 */
import { type Name, wireName } from '../../dns/name.ts';
import type { ConsulNames, NameFacts, ZoneSettings } from '../../zone/tree/view.ts';
import { packRules } from '../reply/derivedCheck.ts';
import { packNegatives } from '../reply/negatives.ts';
import type { AnswerTable } from '../table/table.ts';
import { packedRule } from './derivedNames.ts';
import { negativesOf, serialsOf } from './negatives.ts';

export interface ZoneDenialsOptions {
  readonly table: Pick<AnswerTable, 'setNegatives' | 'setDerivedRules'>;
  readonly facts: NameFacts;
  /** See `PublisherOptions`. */
  readonly isSigned: (apex: Name) => boolean;
  readonly unixSeconds: () => number;
}

export class ZoneDenials {
  readonly #options: ZoneDenialsOptions;
  /** Serials of the published SOAs; empty if none is published. */
  #serials = '';
  /** The table has the rules about derived names. */
  #hasRules = false;

  constructor(options: ZoneDenialsOptions) {
    this.#options = options;
  }

  /** Call this when the settings have changed, or the keys that sign. */
  reset(): void {
    this.#serials = '';
    this.#hasRules = false;
  }

  /**
   * Publishes what has changed, and what found no room before. Returns the apexes whose serials have changed: their
   * published answers are of an earlier version.
   */
  refresh(settings: ZoneSettings): readonly Name[] {
    const { table, facts, isSigned } = this.#options;
    if (!this.#hasRules) {
      const rules = consulNamesOf(settings, facts).rules.map(packedRule);
      this.#hasRules = table.setDerivedRules(rules.length > 0 ? packRules(rules) : undefined);
    }
    const unixSeconds = this.#options.unixSeconds();
    const serials = serialsOf(settings, { facts, unixSeconds });
    if (serials === this.#serials) return [];
    const negatives = negativesOf(settings, unixSeconds, facts, isSigned);
    const holes = settings.forwarded.inside.map(wireName);
    if (table.setNegatives(packNegatives(negatives, holes))) this.#serials = serials;
    return settings.apexes;
  }
}

/** The names of Consul's domain that the table has to know. */
export function consulNamesOf({ consul }: ZoneSettings, facts: NameFacts): ConsulNames {
  return consul === undefined ? NO_NAMES : facts.consulNames(consul);
}

const NO_NAMES: ConsulNames = { fixed: [], rules: [] };
