/**
 * Asks the name servers of a domain that our zones delegate. Their addresses come from our zones or, for names that other
 * servers have, from the forwarder itself. A name server whose address cannot be known without asking the domain's own
 * servers is left out, so that no look-up waits for itself.
 */
import { DNS_PORT, familyOfAddress } from '../../dns/address.ts';
import { Ede, type Question } from '../../dns/message.ts';
import { equalNames, type Name, printName } from '../../dns/name.ts';
import { Class, Type } from '../../dns/rr.ts';
import type { Clock } from '../../timing/clock.ts';
import { withDeadline } from '../../timing/deadline.ts';
import type { CachingForwarder } from '../forwarder.ts';
import type { Forwarded, ForwardOptions } from '../outcome.ts';
import type { Upstream } from '../upstream.ts';

/** A name server of a delegated domain. */
export interface DelegatedServer {
  readonly name: Name;
  /** Those that our zones have. */
  readonly addresses: readonly string[];
  /** Our zones decide its addresses, so no server is asked for more. */
  readonly isOurs: boolean;
}

/** What the forwarders of all delegated domains share, since there may be thousands. */
export interface DelegationParts {
  readonly serversOf: (domain: Name) => readonly DelegatedServer[];
  /** Without those that lead to this server, or that no question may go to. */
  readonly usable: (upstreams: readonly Upstream[]) => readonly Upstream[];
  /** Looks up the addresses of name servers. */
  readonly lookUp: Pick<CachingForwarder, 'peek' | 'resolve'>;
  /** The forwarder that asks these servers; the same one for equal servers. */
  readonly forwarderTo: (domain: Name, upstreams: readonly Upstream[]) => CachingForwarder;
  /** Default: the system's. */
  readonly clock?: Clock;
}

/** The most servers that are asked; a domain has rarely more than four. */
const MAX_SERVERS = 16;

/**
 * The most name servers that are looked up: for a client's question, and for a look-up that it needs.
 * Each may need look-ups in turn, so that equal numbers would multiply to thousands.
 */
const MAX_LOOK_UPS = [8, 2];

/** How long a question waits for further addresses if one is known. */
const FURTHER_MS = 300;
/** Below the 4 s of Docker's resolver, with what `resolve` of the servers' forwarder may take. */
const TOTAL_MS = 3_800;

const ADDRESS_TYPES = [Type.A, Type.AAAA];

export class DelegatedForwarder implements CachingForwarder {
  readonly #domain: Name;
  readonly #parts: DelegationParts;

  constructor(domain: Name, parts: DelegationParts) {
    this.#domain = domain;
    this.#parts = parts;
  }

  peek(question: Question, options: ForwardOptions): Forwarded | undefined {
    const { addresses, unknown } = this.#known(options);
    if (unknown.length > 0) return undefined;
    return this.#forwarderTo(addresses)?.peek(question, options);
  }

  async resolve(question: Question, options: ForwardOptions): Promise<Forwarded> {
    const late = (): Forwarded => this.#failed('timeout', 'its name servers did not reply in time');
    return withDeadline(this.#resolve(question, options), TOTAL_MS, late, this.#parts);
  }

  async prefetch(question: Question, options: ForwardOptions): Promise<Forwarded | undefined> {
    return this.#forwarderTo(this.#known(options).addresses)?.prefetch(question, options);
  }

  /** The set of forwarders forgets for all delegations at once. */
  flush(): readonly Question[] {
    return [];
  }

  forget(): void {}

  async close(): Promise<void> {}

  get #servers(): readonly DelegatedServer[] {
    return this.#parts.serversOf(this.#domain);
  }

  /** The addresses that our zones have. */
  get ownAddresses(): readonly string[] {
    return this.#servers.flatMap(({ addresses }) => addresses);
  }

  async #resolve(question: Question, options: ForwardOptions): Promise<Forwarded> {
    const { addresses, unknown } = this.#known(options);
    const found = await this.#lookUpAll(unknown, options, addresses.length > 0);
    const all = [...addresses, ...found];
    const forwarder = this.#forwarderTo(all);
    if (forwarder !== undefined) return forwarder.resolve(question, options);
    const names = this.#servers.map(({ name }) => printName(name));
    return this.#failed(
      'servfail',
      all.length > 0
        ? `its name servers are this server, or are at addresses that are not asked: ${all.join(' ')}`
        : `no address is known for its name servers ${names.join(' ')}`,
    );
  }

  #forwarderTo(addresses: readonly string[]): CachingForwarder | undefined {
    // IPv4 first, since it reaches more servers; in one order, so that equal servers are one set.
    const order = [...new Set(addresses)].sort(byFamily).slice(0, MAX_SERVERS);
    const upstreams = order.map((address) => ({ address, port: DNS_PORT }));
    const usable = this.#parts.usable(upstreams);
    return usable.length === 0 ? undefined : this.#parts.forwarderTo(this.#domain, usable);
  }

  /** What is known without a question, and the questions that are left. */
  #known(options: ForwardOptions): {
    readonly addresses: readonly string[];
    readonly unknown: readonly Question[];
  } {
    const addresses: string[] = [];
    const unknown: Question[] = [];
    let lookUps = this.#mostLookUps(options);
    for (const server of this.#servers) {
      addresses.push(...server.addresses);
      if (server.isOurs || server.addresses.length > 0 || lookUps-- <= 0) continue;
      for (const qtype of ADDRESS_TYPES) {
        const question = { qname: server.name, qtype, qclass: Class.IN };
        const known = this.#parts.lookUp.peek(question, this.#lookUpOptions(options));
        if (known === undefined) unknown.push(question);
        else addresses.push(...addressesIn(known, question));
      }
    }
    return { addresses, unknown };
  }

  /** The addresses that the look-ups find; it waits for all of them only until one address is known. */
  async #lookUpAll(
    questions: readonly Question[],
    options: ForwardOptions,
    isAnyKnown: boolean,
  ): Promise<readonly string[]> {
    if (questions.length === 0) return [];
    const found: string[] = [];
    let onKnown = (): void => {};
    const known = new Promise<void>((resolve) => {
      onKnown = resolve;
    });
    if (isAnyKnown) onKnown();
    const lookUps = questions.map(async (question) => {
      const reply = await this.#parts.lookUp.resolve(question, this.#lookUpOptions(options));
      found.push(...addressesIn(reply, question));
      if (found.length > 0) onKnown();
    });
    const all = Promise.all(lookUps);
    const further = known.then(() => withDeadline(all, FURTHER_MS, () => [], this.#parts));
    await withDeadline(Promise.race([all, further]), TOTAL_MS, () => [], this.#parts);
    return [...found];
  }

  /** None if a server of this domain is being looked up already: the domains would wait for each other. */
  #mostLookUps({ delegations = [] }: ForwardOptions): number {
    const isAwaited = delegations.some((each) => equalNames(each, this.#domain));
    return isAwaited ? 0 : (MAX_LOOK_UPS[delegations.length] ?? 0);
  }

  #lookUpOptions({ client, path, delegations = [] }: ForwardOptions): ForwardOptions {
    return {
      checkingDisabled: false,
      dnssecOk: false,
      ...{ client, path },
      delegations: [...delegations, this.#domain],
    };
  }

  #failed(reason: 'timeout' | 'servfail', problem: string): Forwarded {
    const text = `${printName(this.#domain)}: ${problem}`;
    return { kind: 'failed', reason, text, ede: Ede.NO_REACHABLE_AUTHORITY };
  }
}

function byFamily(a: string, b: string): number {
  return familyOfAddress(a) - familyOfAddress(b) || (a < b ? -1 : 1);
}

/** The addresses of the name itself: a name server must not be an alias (RFC 2181 §10.3). */
function addressesIn(reply: Forwarded, { qname }: Question): readonly string[] {
  if (reply.kind !== 'answered') return [];
  return reply.message.answer.flatMap(({ owner, rdata }) =>
    rdata.kind === 'address' && equalNames(owner, qname) ? [rdata.address] : [],
  );
}
