/**
 * dataplane/publish/: Puts answers into the table, and withdraws the answers that a change can affect.
 * Imports: dataplane/cache, dataplane/reply, dataplane/table, dns, zone, zone/tree.
 * Used by: app, app/answering.
 *
 * The publisher adds a name to the table when the name comes into the zone tree, and an answer when the slow path has
 * decided it for a client. A change withdraws the answers of its owner name, of the names above it, and of all names
 * whose answers depend on one of these, in the same call that applies the change. So an answer in the table is always
 * the one that the zone would give. The answers that clients ask for are renewed in the same turn of the event loop.
 */
import type { Response } from '../../dns/message.ts';
import { foldName, type Name, printName, wireName } from '../../dns/name.ts';
import { Class, Rcode } from '../../dns/rr.ts';
import type { Decided } from '../../zone/answer.ts';
import { type Dependency, Dependents, dependenciesOf } from '../../zone/tree/dependents.ts';
import type { Synthesis } from '../../zone/tree/lookupState.ts';
import { firstWildcardOf } from '../../zone/tree/select.ts';
import { findNode, type Node } from '../../zone/tree/tree.ts';
import type { ConsulNames, Freshness, NameFacts, ZoneSettings } from '../../zone/tree/view.ts';
import { packRules } from '../reply/derivedCheck.ts';
import { packNegatives } from '../reply/negatives.ts';
import { kindOf, OTHER_KIND } from '../table/answerKinds.ts';
import { FOREVER, QuestionLabels } from '../table/layout.ts';
import type { AnswerTable } from '../table/table.ts';
import { packedRule } from './derivedNames.ts';
import { negativesOf, serialsOf } from './negatives.ts';
import { OwnerNames, touchedBy } from './ownerNames.ts';
import { Renewals } from './renewals.ts';
import { StoredWildcards } from './storedWildcards.ts';
import { lengthsBelow, newProbe, templateLists } from './templates.ts';
import { falls, isLasting, lifeSeconds } from './validity.ts';
import { encodeBehindQuestion, rotationsOf, variantsOf } from './variants.ts';

export interface PublisherOptions {
  readonly table: AnswerTable;
  readonly root: Node;
  readonly settings: () => ZoneSettings;
  readonly facts: NameFacts;
  /** The clock by which leases end. */
  readonly monotonicMs: () => number;
  readonly unixSeconds: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  /**
   * Receives the error if an answer could not be published, which is a bug. The slow path still answers. Must not
   * throw.
   */
  readonly onError: (error: unknown) => void;
}

export class Publisher {
  readonly #options: PublisherOptions;
  readonly #table: AnswerTable;
  readonly #names: OwnerNames;
  readonly #wildcards: StoredWildcards;
  readonly #dependents = new Dependents<number>();
  readonly #renewals: Renewals;
  /** Changes with every call of `applied`. */
  #version = 0;
  /** The settings of the table's era. */
  #settings: ZoneSettings | undefined;
  /** Serials of the published SOAs; empty if none is published. */
  #serials = '';
  /** The table has the rules about derived names. */
  #hasRules = false;
  /** Addresses of names that the settings have dropped. A batch that began before may still look for them. */
  #namesToRemove: readonly number[] = [];
  /** The table has such names, so its readers do not know which names exist. */
  #isChanging = false;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#table = options.table;
    this.#names = new OwnerNames(options.root, options.table);
    this.#wildcards = new StoredWildcards(options.table, newProbe(options.random));
    this.#renewals = new Renewals({ ...options, publish: (decided) => this.publish(decided) });
  }

  /** Call this when the freshness of the zones' data changes. It begins as `loading`. */
  setFreshness(freshness: Freshness): void {
    this.refresh();
    this.#table.stale = freshness === 'stale';
    this.#table.active = freshness !== 'loading';
  }

  /**
   * Call this when the settings or a zone's version change, and twice a second. It publishes a new serial, adds names that
   * found no room before, and frees memory.
   */
  refresh(): void {
    const { settings, facts, unixSeconds, monotonicMs } = this.#options;
    if (!this.#isChanging) this.#table.beginChange();
    for (const address of this.#namesToRemove) this.#removeName(address);
    this.#namesToRemove = [];
    this.#names.retry();
    this.#wildcards.retry();
    if (settings() !== this.#settings) {
      this.#settings = settings();
      this.#serials = '';
      this.#table.newEra();
      this.#table.questionWildcards = QuestionLabels[this.#settings.questionWildcards];
      this.#dropDerived();
      this.#namesToRemove = this.#setNames();
      this.#wildcards.reset(this.#settings, (address) => this.#removeWildcard(address));
      this.#hasRules = false;
    }
    this.#isChanging = this.#namesToRemove.length > 0;
    if (!this.#isChanging) this.#table.endChange();
    if (this.#table.isScarce) this.#dropDerived();
    if (!this.#hasRules) this.#setRules();
    const serials = serialsOf(this.#settings, { facts, unixSeconds: unixSeconds() });
    if (serials !== this.#serials) this.#publishSerials(serials, unixSeconds());
    this.#table.sweep(secondOf(monotonicMs()));
    this.#table.collect();
  }

  /** Call this when folded names have come to mean something else without a change of the services. */
  onNamesChanged(names: readonly Name[]): void {
    if (this.#settings === undefined) return;
    this.#version++;
    const gone = this.#setNames();
    for (const address of gone) this.#withdraw(address);
    this.#namesToRemove = [...this.#namesToRemove, ...gone];
    for (const name of names) {
      this.#withdraw(this.#names.addressOf(name));
      this.#withdrawDependents(findNode(this.#options.root, name) ?? printName(name));
    }
  }

  /** Sets the names that exist whatever the services are. Returns the addresses to remove. */
  #setNames(): readonly number[] {
    return this.#names.setFixedNames(this.#options.settings(), this.#consulNames().fixed);
  }

  #setRules(): void {
    const rules = this.#consulNames().rules.map(packedRule);
    this.#hasRules = this.#table.setDerivedRules(rules.length > 0 ? packRules(rules) : undefined);
  }

  #consulNames(): ConsulNames {
    const { settings, facts } = this.#options;
    const { consul } = settings();
    return consul === undefined ? NO_NAMES : facts.consulNames(consul);
  }

  #publishSerials(serials: string, unixSeconds: number): void {
    const { settings, facts } = this.#options;
    // A published SOA expires with its hour on the monotonic clock, but the serial follows the system clock, which may
    // have been set.
    for (const apex of settings().apexes) this.#withdraw(this.#names.addressOf(apex));
    const negatives = negativesOf(settings(), unixSeconds, facts);
    const holes = settings().forwarded.inside.map(wireName);
    if (this.#table.setNegatives(packNegatives(negatives, holes))) this.#serials = serials;
  }

  /** Call this after each set of changes was applied, with the nodes of their owner names; see `CatalogOptions`. */
  onApplied(nodes: readonly Node[]): void {
    this.#version++;
    const { live, gone } = touchedBy(nodes);
    this.#table.beginChange();
    for (const node of gone) this.#names.transfer(node);
    for (const node of live) if (node.tableAddress === 0) this.#addName(node);
    for (const node of live) this.#invalidateNode(node);
    for (const node of gone) this.#removeNode(node);
    this.#changeWildcards(live, gone);
    this.#table.endChange();
    this.#table.collect();
  }

  /**
   * As `publish`, but in a microtask, so that the server first sends a reply that needed no other server. A change in
   * between cancels it.
   */
  publishSoon(decided: Decided): void {
    const version = this.#version;
    queueMicrotask(() => {
      if (this.#version !== version) return;
      try {
        this.publish(decided);
      } catch (error) {
        this.#options.onError(error);
      }
    });
  }

  /**
   * Publishes an answer that was decided from the current tree, unless the table must not hold it or holds it already.
   */
  publish(decided: Decided): void {
    const { question, view, response, basis } = decided;
    if (view.settings !== this.#settings || question.qclass !== Class.IN) return;
    const qname = foldName(question.qname);
    if (firstWildcardOf(view.settings, qname) >= 0) return;
    if (response.rcode === Rcode.NXDOMAIN) this.#removeName(this.#names.takeDerived(qname));
    const kind = kindOf(question.qtype);
    if (!this.#mayBeKept(decided, kind)) return;
    if (basis.synthesis !== undefined) {
      this.#publishSynthesized(decided, basis.synthesis, kind);
      return;
    }
    const address = this.#names.addressOf(qname) || this.#derivedAddress(qname);
    if (address === 0 || this.#table.has(address, kind, secondOf(view.nowMs))) return;
    const isPublished = isNodata(response)
      ? isLasting(basis) && this.#table.publishNodata(address, kind)
      : this.#publishAnswer(address, kind, { ...decided, question: { ...question, qname } });
    if (isPublished)
      this.#dependents.add(address, dependenciesOf(this.#options.root, qname, basis));
  }

  /** Publishes the answer for all names that the wildcard answers for. */
  #publishSynthesized(decided: Decided, { wildcard, isEven }: Synthesis, kind: number): void {
    const address = this.#wildcards.addressOf(wildcard);
    const second = secondOf(decided.view.nowMs);
    if (!isEven || address === 0 || this.#table.has(address, kind, second)) return;
    const probed = this.#wildcards.probed(decided, wildcard);
    if (probed === undefined || !this.#mayBeKept(probed, kind)) return;
    const isPublished = isNodata(probed.response)
      ? isLasting(probed.basis) && this.#table.publishNodata(address, kind)
      : this.#publishAnswer(address, kind, probed, wildcard.slice(1));
    if (!isPublished) return;
    // The probe's name never exists, and the encloser exists as long as the wildcard.
    const known = [probed.question.qname, wildcard.slice(1)].map(printName);
    const dependencies = dependenciesOf(this.#options.root, wildcard, probed.basis).filter(
      (dependency) => typeof dependency !== 'string' || !known.includes(dependency),
    );
    this.#dependents.add(address, dependencies);
  }

  /** The address of a name that the tree lacks although it has an answer. */
  #derivedAddress(qname: Name): number {
    return this.#names.admitDerived(qname, (evicted) => this.#removeName(evicted));
  }

  #dropDerived(): void {
    for (const address of this.#names.takeAllDerived()) this.#removeName(address);
  }

  #mayBeKept({ view, response, basis }: Decided, kind: number): boolean {
    if (response.extendedError !== undefined || response.rcode !== Rcode.NOERROR) return false;
    // One word of the table stands for all other types, and another server may answer each of them differently.
    if (kind === OTHER_KIND && basis.leadsOutside) return false;
    // A sample for a reply of another size is not the sample that the table's clients would get.
    return !basis.isSample || view.roomOctets === this.#table.maxUdpOctets;
  }

  /** `encloser`: of the stored wildcard whose answer this is. */
  #publishAnswer(address: number, kind: number, decided: Decided, encloser?: Name): boolean {
    const { question, view, response, basis } = decided;
    const { settings } = view;
    const { random, unixSeconds } = this.#options;
    const lengths = encloser && lengthsBelow(encloser);
    const encode = (order: Response) =>
      encodeBehindQuestion(question, order, this.#table.maxUdpOctets, lengths);
    const encoded = encode(response);
    if (encoded.cuts.length === 0) return false;
    const mayBeCut = encoded.cuts.some(({ truncated }) => truncated);
    const rules = { roundRobin: settings.roundRobin, mayBeCut, start: random() };
    const { rotations, isComplete, isFixed } = rotationsOf(question, response, rules);
    const orders = rotations.map((order) => {
      const inOrder = order === response ? encoded : encode(order);
      const lists = encloser && templateLists(inOrder.octets, question.qname);
      return { response: order, encoded: inOrder, lists };
    });
    if (encloser !== undefined && orders.some(({ lists }) => lists === undefined)) return false;
    const variants = variantsOf(orders, (rr) => falls(rr, settings));
    const second = secondOf(view.nowMs);
    const life = lifeSeconds(response, basis, settings, isComplete, unixSeconds());
    return this.#table.publish(address, kind, {
      untilSecond: Math.min(second + life, FOREVER),
      ttlsAtSecond: second,
      rcode: response.rcode,
      authoritative: response.authoritative,
      plainOnly: basis.leadsOutside,
      fixedOrder: isFixed,
      variants: variants.count,
      words: variants.words,
    });
  }

  #addName(node: Node): void {
    this.#names.add(node);
    if (this.#dependents.size > 0) this.#withdrawDependents(printName(node.owner()));
  }

  #invalidateNode(node: Node): void {
    this.#invalidate(node.tableAddress);
    this.#withdrawDependents(node);
  }

  #changeWildcards(live: Iterable<Node>, gone: Iterable<Node>): void {
    // Without settings there are no names yet that wildcards are for.
    const settings = this.#settings ?? this.#options.settings();
    const remove = (address: number) => this.#removeWildcard(address);
    for (const address of this.#wildcards.changed(live, gone, settings, remove))
      this.#invalidate(address);
  }

  #removeWildcard(address: number): void {
    this.#withdraw(address);
    this.#table.removeWildcard(address);
  }

  #removeNode(node: Node): void {
    this.#withdrawDependents(node);
    if (this.#dependents.size > 0) this.#withdrawDependents(printName(node.owner()));
    this.#withdraw(node.tableAddress);
    this.#removeName(this.#names.remove(node));
  }

  #removeName(address: number): void {
    if (address === 0) return;
    this.#withdraw(address);
    this.#table.remove(address);
  }

  #withdrawDependents(dependency: Dependency): void {
    if (this.#dependents.size === 0) return;
    for (const address of this.#dependents.of(dependency)) this.#invalidate(address);
  }

  /** Withdraws the name's answers, and renews those that clients ask for. */
  #invalidate(address: number): void {
    const asked = this.#withdraw(address);
    if (asked === 0 || !this.#renewals.hasRoom) return;
    const probe = this.#wildcards.probeAt(address);
    this.#renewals.add(probe === undefined ? this.#table.nameOf(address) : wireName(probe), asked);
  }

  /** Returns the kinds that clients ask for; see `AnswerTable.withdraw`. */
  #withdraw(address: number): number {
    if (address === 0) return 0;
    this.#dependents.forget(address);
    return this.#table.withdraw(address);
  }
}

const NO_NAMES: ConsulNames = { fixed: [], rules: [] };

function secondOf(ms: number): number {
  return Math.floor(ms / 1000);
}

/** Whether the response has only the zone's SOA. */
function isNodata({ answer, authority }: Response): boolean {
  return answer.length === 0 && authority.length > 0;
}
