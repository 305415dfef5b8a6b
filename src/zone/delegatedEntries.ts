/**
 * What the delegations in a store mean for its other entries, as `soradns ls` and `doctor` show them: which values no
 * answer has, and which NS records have no effect.
 */
import { type Name, nameKey } from '../dns/name.ts';
import type { Entry } from '../service/change.ts';
import { nameOfKey } from '../service/key.ts';
import { parseService } from '../service/service.ts';
import { ForwardedNames, type ZoneCut } from './tree/forwardedNames.ts';
import { cutProblem, cutsInForce, nameServersIn } from './zoneCuts.ts';

type KeyAndValue = Pick<Entry, 'key' | 'value'>;

export class DelegatedEntries {
  readonly #prefix: string;
  readonly #domains: readonly Name[];
  readonly #forwarded: ForwardedNames;

  /**
   * The delegations of the entries with NS records. `prefix`: as `keyPrefix` returns it. `domains`: those that are
   * served. `others`: those that other servers answer because of an option.
   */
  constructor(
    prefix: string,
    entries: readonly KeyAndValue[],
    domains: readonly Name[],
    others: readonly Name[] = [],
  ) {
    this.#prefix = prefix;
    this.#domains = domains;
    const cuts = new Map<string, ZoneCut>();
    for (const entry of entries) {
      const name = this.#ownerOf(entry);
      if (name === undefined) continue;
      const known = cuts.get(nameKey(name))?.servers ?? [];
      cuts.set(nameKey(name), { name, servers: [...known, ...serversIn(entry)] });
    }
    const inForce = cutsInForce([...cuts.values()], domains, others);
    this.#forwarded = new ForwardedNames(others, domains, inForce);
  }

  /** Those in force. */
  get cuts(): readonly ZoneCut[] {
    return this.#forwarded.cuts;
  }

  /** The delegated name that hides the entry's value; not for the delegation itself and for name servers' addresses. */
  hiderOf(entry: KeyAndValue): Name | undefined {
    const owner = this.#ownerOf(entry);
    const cut = owner && this.#forwarded.cutOf(owner);
    if (owner === undefined || cut === undefined) return undefined;
    const isDelegation = owner.length === cut.name.length && serversIn(entry).length > 0;
    const isGlue = [owner, owner.slice(1)].some((each) => this.#forwarded.isNameServer(each));
    return isDelegation || isGlue ? undefined : cut.name;
  }

  /**
   * What is left of the host of an entry that makes a delegation: `glue` if the name is one of its own name servers,
   * `hidden` if not. Undefined for other entries, and without a host.
   */
  hostBesideNs(entry: KeyAndValue): 'glue' | 'hidden' | undefined {
    const owner = this.#ownerOf(entry);
    const cut = owner && this.#forwarded.cutOf(owner);
    if (owner === undefined || cut?.name.length !== owner.length) return undefined;
    const parsed = parseService(entry.value);
    if (parsed.kind !== 'service') return undefined;
    const { target, address, attributes } = parsed.service;
    if (nameServersIn(attributes.records).length === 0) return undefined;
    if (target === undefined && address === '') return undefined;
    return target === undefined && this.#forwarded.isNameServer(owner) ? 'glue' : 'hidden';
  }

  /** Why the entry's NS records have no effect. */
  problemOf(entry: KeyAndValue): string | undefined {
    const owner = this.#ownerOf(entry);
    if (owner === undefined || serversIn(entry).length === 0) return undefined;
    const problem = cutProblem(owner, this.#domains);
    return problem?.kind === 'without effect' ? `rr: NS: ${problem.reason}` : undefined;
  }

  #ownerOf({ key }: KeyAndValue): Name | undefined {
    const named = nameOfKey(key, this.#prefix);
    return named.kind === 'name' ? named.owner : undefined;
  }
}

function serversIn({ value }: KeyAndValue): readonly Name[] {
  const parsed = parseService(value);
  return parsed.kind === 'service' ? nameServersIn(parsed.service.attributes.records) : [];
}
