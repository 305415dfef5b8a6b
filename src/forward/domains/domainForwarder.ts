/**
 * forward/domains/: Sends each question to the servers of its domain: hosts files, domains with servers, the rest.
 * Imports: dns, forward, timing.
 * Used by: app/answering, config/options.
 *
 * The longest domain that a name is in decides; the general upstreams have all other names. A question about a domain
 * never goes to the general upstreams, even if no server of the domain replies: they would learn internal names, and
 * would deny them.
 */
import { Ede, type Question } from '../../dns/message.ts';
import { type Name, NameMap, printName } from '../../dns/name.ts';
import { Rcode } from '../../dns/rr.ts';
import type { CachingForwarder } from '../forwarder.ts';
import type { ForwardCounters, Forwarded, ForwardOptions } from '../outcome.ts';
import { isPublicAddress } from '../privateNames.ts';
import { DelegatedForwarder, type DelegationParts } from './delegatedForwarder.ts';
import type { HostsTable } from './hostsTable.ts';
import type { ServerSet, ServerSets } from './serverSets.ts';

/** Who is asked about the names of a domain. */
export interface ForwardedDomain {
  readonly name: Name;
  readonly isStubZone: boolean;
  /** `local`: the server sends no question about the domain. */
  readonly servers: ServerSet['servers'] | 'local';
}

/** A domain whose servers are in the NS records of our zones. */
export interface DelegatedDomain {
  readonly name: Name;
  readonly isStubZone: false;
  readonly servers: 'delegated';
}

/** The name servers of the domains that our zones delegate. */
export type Delegations = Pick<DelegationParts, 'serversOf' | 'usable'>;

export const NO_DELEGATIONS: Delegations = { serversOf: () => [], usable: () => [] };

export interface ForwardingPlan {
  /** The upstreams for names in no domain; undefined: the server refuses these. */
  readonly general: ServerSet | undefined;
  /** Each name once. */
  readonly domains: readonly (ForwardedDomain | DelegatedDomain)[];
  readonly hosts: HostsTable;
}

/** Where the questions about a domain go. */
interface DomainTarget {
  /** Undefined: the general upstreams. */
  readonly domain: ForwardedDomain | DelegatedDomain | undefined;
  /** Undefined: the server refuses the question. */
  readonly forwarder: CachingForwarder | undefined;
  readonly delegated?: DelegatedForwarder;
}

export class DomainForwarder implements CachingForwarder {
  readonly #sets: ServerSets;
  readonly #plan: ForwardingPlan;
  readonly #counters: ForwardCounters;
  readonly #used: readonly ServerSet[];
  readonly #general: DomainTarget;
  readonly #domains = new NameMap<DomainTarget>();
  readonly #all: readonly CachingForwarder[];

  constructor(
    plan: ForwardingPlan,
    sets: ServerSets,
    counters: ForwardCounters,
    delegations = NO_DELEGATIONS,
  ) {
    const { general, domains } = plan;
    const named = domains.filter((domain) => domain.servers !== 'delegated');
    this.#sets = sets;
    this.#plan = plan;
    this.#counters = counters;
    const used: ServerSet[] = [];
    const all: CachingForwarder[] = [];
    const use = (set: ServerSet | undefined): CachingForwarder | undefined => {
      const forwarder = set && sets.use(set, named.length);
      if (set !== undefined) used.push(set);
      if (forwarder !== undefined) all.push(forwarder);
      return forwarder;
    };
    this.#general = { domain: undefined, forwarder: use(general) };
    for (const domain of named)
      this.#domains.set(domain.name, { domain, forwarder: use(setOf(domain)) });
    const parts: DelegationParts = {
      ...delegations,
      lookUp: this,
      forwarderTo: (domain, upstreams) => sets.delegatedTo(domain, upstreams),
    };
    for (const domain of domains)
      if (domain.servers === 'delegated') {
        const forwarder = new DelegatedForwarder(domain.name, parts);
        this.#domains.set(domain.name, { domain, forwarder, delegated: forwarder });
      }
    this.#used = used;
    this.#all = all;
  }

  peek(question: Question, options: ForwardOptions): Forwarded | undefined {
    const known = this.#plan.hosts.answer(question);
    if (known !== undefined) return this.#counted(known);
    const target = this.#targetOf(question);
    if (target.forwarder === undefined) return this.#counted(unaskedBy(target));
    const peeked = target.forwarder.peek(question, options);
    return peeked && ofTarget(target, peeked);
  }

  async resolve(question: Question, options: ForwardOptions): Promise<Forwarded> {
    const target = this.#targetOf(question);
    const { forwarder } = target;
    const known = this.#plan.hosts.answer(question);
    if (known !== undefined || forwarder === undefined)
      return this.#counted(known ?? unaskedBy(target));
    return ofTarget(target, await forwarder.resolve(question, options));
  }

  async prefetch(question: Question, options: ForwardOptions): Promise<Forwarded | undefined> {
    if (this.#plan.hosts.answer(question) !== undefined) return undefined;
    return this.#targetOf(question).forwarder?.prefetch(question, options);
  }

  flush(name: Name = []): readonly Question[] {
    this.forget(name);
    return this.#sets.flush(name);
  }

  forget(name: Name): void {
    for (const forwarder of this.#all) forwarder.forget(name);
  }

  /**
   * Whether the operator has said where the name's addresses come from: from a file, or only from servers inside the
   * network. Such a name may have private addresses.
   */
  isInternal(qname: Name): boolean {
    if (this.#plan.hosts.has(qname)) return true;
    const target = this.#domains.longest(qname);
    const servers = target?.domain?.servers;
    if (servers === undefined || servers === 'local') return false;
    if (servers !== 'delegated') return !servers.some(({ address }) => isPublicAddress(address));
    const addresses = target?.delegated?.ownAddresses ?? [];
    return addresses.length > 0 && !addresses.some(isPublicAddress);
  }

  async close(): Promise<void> {
    await Promise.all(this.#used.map((set) => this.#sets.release(set)));
  }

  #targetOf({ qname }: Question): DomainTarget {
    return this.#domains.longest(qname) ?? this.#general;
  }

  #counted(outcome: Forwarded): Forwarded {
    this.#counters.requests++;
    if (outcome.kind === 'refused') this.#counters.refused++;
    return outcome;
  }
}

function setOf({ name, isStubZone, servers }: ForwardedDomain): ServerSet | undefined {
  return servers === 'local' ? undefined : { servers, domain: { name, isStubZone } };
}

function unaskedBy({ domain }: DomainTarget): Forwarded {
  const text =
    domain === undefined
      ? 'no upstream to forward to (--nameservers)'
      : `questions about ${printName(domain.name)} are not forwarded`;
  return { kind: 'refused', text };
}

/** The outcome, with the domain in the reason of a failure. */
function ofTarget({ domain }: DomainTarget, outcome: Forwarded): Forwarded {
  if (domain === undefined) return outcome;
  const name = printName(domain.name);
  const ede = Ede.NO_REACHABLE_AUTHORITY;
  if (outcome.kind === 'failed')
    return outcome.ede ? outcome : { ...outcome, text: `${name}: ${outcome.text}`, ede };
  if (outcome.kind !== 'answered' || outcome.message.rcode !== Rcode.SERVFAIL) return outcome;
  return { kind: 'failed', reason: 'servfail', text: `${name}: its servers reply SERVFAIL`, ede };
}
