/**
 * What the delegations in a store mean for its other entries, as `soradns ls` shows them: which values no answer has,
 * and which NS records have no effect. The served domains are known as in `nameChecks.ts`.
 */
import { DEFAULT_DOMAINS } from '../config/servedDomains.ts';
import { type Name, nameKey, ROOT } from '../dns/name.ts';
import type { Entry } from '../service/change.ts';
import { nameOfKey } from '../service/key.ts';
import { parseService } from '../service/service.ts';
import { ForwardedNames, type ZoneCut } from '../zone/tree/forwardedNames.ts';
import { cutProblem, cutsInForce, nameServersIn } from '../zone/zoneCuts.ts';

/** Without known domains every name may be in one. */
const ANY_DOMAIN: readonly Name[] = [ROOT, ...DEFAULT_DOMAINS];

export class DelegatedEntries {
  readonly #prefix: string;
  readonly #domains: readonly Name[];
  readonly #forwarded: ForwardedNames;

  /**
   * The delegations of the entries with NS records. `prefix`: as `keyPrefix` returns it. `domains`: those that are served,
   * if they are known.
   */
  constructor(prefix: string, entries: readonly Entry[], domains = ANY_DOMAIN) {
    this.#prefix = prefix;
    this.#domains = domains;
    const cuts = new Map<string, ZoneCut>();
    for (const entry of entries) {
      const name = this.#ownerOf(entry);
      if (name === undefined) continue;
      const known = cuts.get(nameKey(name))?.servers ?? [];
      cuts.set(nameKey(name), { name, servers: [...known, ...serversIn(entry)] });
    }
    this.#forwarded = new ForwardedNames([], domains, cutsInForce([...cuts.values()], domains, []));
  }

  /** The delegated name that hides the entry's value; not for the delegation itself and for name servers' addresses. */
  hiderOf(entry: Entry): Name | undefined {
    const owner = this.#ownerOf(entry);
    const cut = owner && this.#forwarded.cutOf(owner);
    if (owner === undefined || cut === undefined) return undefined;
    const isDelegation = owner.length === cut.name.length && serversIn(entry).length > 0;
    const isGlue = [owner, owner.slice(1)].some((each) => this.#forwarded.isNameServer(each));
    return isDelegation || isGlue ? undefined : cut.name;
  }

  /** Why the entry's NS records have no effect. */
  problemOf(entry: Entry): string | undefined {
    const owner = this.#ownerOf(entry);
    if (owner === undefined || serversIn(entry).length === 0) return undefined;
    const problem = cutProblem(owner, this.#domains);
    return problem?.kind === 'without effect' ? `rr: NS: ${problem.reason}` : undefined;
  }

  #ownerOf({ key }: Entry): Name | undefined {
    const named = nameOfKey(key, this.#prefix);
    return named.kind === 'name' ? named.owner : undefined;
  }
}

function serversIn({ value }: Entry): readonly Name[] {
  const parsed = parseService(value);
  return parsed.kind === 'service' ? nameServersIn(parsed.service.attributes.records) : [];
}
