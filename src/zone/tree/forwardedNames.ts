/**
 * The domains whose questions go to servers of their own, as far as our zones need to know them. A domain hides the
 * services at and below its name, as a zone cut does (RFC 2136 §7.18): neither a question nor the names above find them.
 */
import {
  foldName,
  isSubdomainOf,
  type Label,
  type Name,
  NameMap,
  nameKey,
} from '../../dns/name.ts';
import type { Node } from './tree.ts';

export class ForwardedNames {
  /** Folded names of the domains that are below an apex. */
  readonly inside: readonly Name[];
  /** Folded names between an apex and such a domain: they exist whatever the services are (RFC 4592 §2.2.2). */
  readonly above: readonly Name[];
  readonly #domains = new NameMap<Name>();
  readonly #apexes: readonly Name[];
  readonly #insideKeys: ReadonlySet<string>;
  readonly #aboveKeys: ReadonlySet<string>;
  /** First labels of `inside`, so that few nodes' names are compared with these. */
  readonly #labels: ReadonlySet<Label>;

  /** No domain may be an apex. */
  constructor(domains: readonly Name[], apexes: readonly Name[]) {
    this.#apexes = apexes;
    const folded = domains.map(foldName);
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

  /** The longest domain that a name is in, whatever zone it is in. */
  domainOf(name: Name): Name | undefined {
    return this.#domains.size === 0 ? undefined : this.#domains.longest(name);
  }

  /** Whether the name exists because a domain is below it. */
  isAbove(name: Name): boolean {
    return this.#aboveKeys.size > 0 && this.#aboveKeys.has(nameKey(name));
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

export const NO_FORWARDED_NAMES: ForwardedNames = new ForwardedNames([], []);
