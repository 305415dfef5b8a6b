/**
 * The domains whose questions go to servers of their own, as far as our zones need to know them: those of options and
 * stub zones, and those that our zones delegate. A domain hides the services at and below its name (RFC 2136 §7.18):
 * neither a question nor the names above find them.
 */
import {
  equalNames,
  foldName,
  isSubdomainOf,
  type Label,
  type Name,
  NameMap,
  nameKey,
} from '../../dns/name.ts';
import type { Node } from './tree.ts';

/** A name below an apex that has NS records: our zone delegates it to these name servers. All names are folded. */
export interface ZoneCut {
  readonly name: Name;
  readonly servers: readonly Name[];
}

export class ForwardedNames {
  /** Folded names of the domains that are below an apex. */
  readonly inside: readonly Name[];
  /** Folded names between an apex and such a domain: they exist whatever the services are (RFC 4592 §2.2.2). */
  readonly above: readonly Name[];
  readonly cuts: readonly ZoneCut[];
  readonly #domains = new NameMap<Name>();
  readonly #apexes: readonly Name[];
  readonly #domainsText: string;
  readonly #cutsByName: ReadonlyMap<string, ZoneCut>;
  readonly #nameServers: ReadonlySet<string>;
  readonly #insideKeys: ReadonlySet<string>;
  readonly #aboveKeys: ReadonlySet<string>;
  /** First labels of `inside`, so that few nodes' names are compared with these. */
  readonly #labels: ReadonlySet<Label>;

  /** No domain may be an apex. Each cut is below one, and no domain of `domains` has its name. */
  constructor(
    domains: readonly Name[],
    apexes: readonly Name[],
    cuts: readonly ZoneCut[] = NO_CUTS,
  ) {
    this.#apexes = apexes;
    this.cuts = cuts;
    this.#domainsText = domains.map(nameKey).join(' ');
    this.#cutsByName = new Map(cuts.map((cut) => [nameKey(cut.name), cut]));
    this.#nameServers = new Set(cuts.flatMap(({ servers }) => servers.map(nameKey)));
    const folded = [...domains, ...cuts.map(({ name }) => name)].map(foldName);
    for (const domain of folded) this.#domains.set(domain, domain);
    const inside = new Map<string, Name>();
    const above = new Map<string, Name>();
    for (const domain of folded) {
      const apex = longestAbove(domain, apexes);
      if (apex === undefined) continue;
      inside.set(nameKey(domain), domain);
      for (let i = 1; i < domain.length - apex.length; i++) {
        const name = domain.slice(i);
        if (!this.covers(name, apex.length)) above.set(nameKey(name), name);
      }
    }
    this.inside = [...inside.values()];
    this.above = [...above.values()];
    this.#insideKeys = new Set(inside.keys());
    this.#aboveKeys = new Set(above.keys());
    this.#labels = new Set(this.inside.map(([label = '']) => label));
  }

  /** Whether the name is in a domain of so many labels or more: that is below the apex of the name's zone. */
  covers(name: Name, apexLabels: number): boolean {
    return this.#domains.size > 0 && (this.#domains.longest(name)?.length ?? -1) >= apexLabels;
  }

  /** Whether the name is in a domain inside our zones, and not in a zone of ours inside that domain. */
  isInside(name: Name): boolean {
    if (this.inside.length === 0) return false;
    const apex = longestAbove(name, this.#apexes);
    return apex !== undefined && this.covers(name, apex.length);
  }

  /** Whether the two differ in cuts only. */
  hasSameDomains(other: ForwardedNames): boolean {
    return this.#domainsText === other.#domainsText;
  }

  /** The longest domain that a name is in, whatever zone it is in. */
  domainOf(name: Name): Name | undefined {
    return this.#domains.size === 0 ? undefined : this.#domains.longest(name);
  }

  /** The cut at exactly this name. */
  cutAt(name: Name): ZoneCut | undefined {
    return this.cuts.length === 0 ? undefined : this.#cutsByName.get(nameKey(name));
  }

  /** The cut that delegates the name. None if one of our zones, or a domain, is between the cut and the name. */
  cutOf(name: Name): ZoneCut | undefined {
    if (this.cuts.length === 0 || !this.isInside(name)) return undefined;
    const domain = this.domainOf(name);
    return domain && this.cutAt(domain);
  }

  /** Whether a cut has the name for a name server, so that its addresses may be glue. */
  isNameServer(name: Name): boolean {
    return this.#nameServers.size > 0 && this.#nameServers.has(nameKey(name));
  }

  /** Whether the name exists because a domain is below it. */
  isAbove(name: Name): boolean {
    return this.#aboveKeys.size > 0 && this.#aboveKeys.has(nameKey(name));
  }

  /** Whether a domain hides some of the names below the node's. */
  hidesBelow(node: Node): boolean {
    if (this.inside.length === 0) return false;
    const name = node.owner();
    return this.isAbove(name) || this.#apexes.some((apex) => equalNames(apex, name));
  }

  /** Whether the node has the name of a domain. */
  hides(node: Node): boolean {
    return this.#labels.has(node.label) && this.#insideKeys.has(nameKey(node.owner()));
  }
}

function longestAbove(domain: Name, apexes: readonly Name[]): Name | undefined {
  let longest: Name | undefined;
  for (const apex of apexes)
    if (isSubdomainOf(domain, apex) && apex.length >= (longest?.length ?? 0)) longest = apex;
  return longest;
}

const NO_CUTS: readonly ZoneCut[] = [];

export const NO_FORWARDED_NAMES: ForwardedNames = new ForwardedNames([], []);
