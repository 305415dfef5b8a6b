/**
 * dataplane/publish/: Puts answers into the table, and withdraws the answers that a change can affect.
 * Imports: dataplane/cache, dataplane/reply, dataplane/table, dns, sign, zone, zone/tree.
 * Used by: app, app/answering.
 *
 * The publisher adds a name to the table when the name comes into the zone tree, and an answer when the slow path has
 * decided it for a client. A change withdraws the answers of its owner name, of the names above it, and of all names
 * whose answers depend on one of these, in the same call that applies the change. So an answer in the table is always
 * the one that the zone would give. The answers that clients ask for are renewed in the same turn of the event loop.
 */
import { foldName, type Name, printName, wireName } from '../../dns/name.ts';
import { Class, Rcode } from '../../dns/rr.ts';
import type { SignedForm } from '../../sign/signedSections.ts';
import type { Decided } from '../../zone/answer.ts';
import { type Dependency, Dependents, dependenciesOf } from '../../zone/tree/dependents.ts';
import type { Synthesis } from '../../zone/tree/lookupState.ts';
import { firstWildcardOf } from '../../zone/tree/select.ts';
import { findNode, type Node } from '../../zone/tree/tree.ts';
import { apexOf, type Freshness, type NameFacts, type ZoneSettings } from '../../zone/tree/view.ts';
import { kindOf, OTHER_KIND } from '../table/answerKinds.ts';
import type { NewAnswer } from '../table/answers.ts';
import { QuestionLabels } from '../table/layout.ts';
import type { AnswerTable } from '../table/table.ts';
import { type EncodingLimits, encodedAnswer, isNodata, secondOf } from './encodedAnswer.ts';
import { NameChanges } from './nameChanges.ts';
import { OwnerNames, touchedBy } from './ownerNames.ts';
import { Renewals } from './renewals.ts';
import { StoredWildcards } from './storedWildcards.ts';
import { newProbe } from './templates.ts';
import { isLasting } from './validity.ts';
import { consulNamesOf, ZoneDenials } from './zoneDenials.ts';

export interface PublisherOptions {
  readonly table: AnswerTable;
  readonly root: Node;
  readonly settings: () => ZoneSettings;
  readonly facts: NameFacts;
  /** Whether the zone with this folded apex is signed: its clients with DO get other answers. */
  readonly isSigned: (apex: Name) => boolean;
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
  readonly #changes: NameChanges;
  readonly #wildcards: StoredWildcards;
  readonly #denials: ZoneDenials;
  readonly #dependents = new Dependents<number>();
  readonly #renewals: Renewals;
  /** Changes with the names and the keys. A change cancels the answers that are being signed. */
  #version = 0;
  /** The settings of the table's era. */
  #settings: ZoneSettings | undefined;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#table = options.table;
    this.#names = new OwnerNames(options.root, options.table);
    this.#changes = new NameChanges(options.table, (address) => this.#removeName(address));
    this.#wildcards = new StoredWildcards(options.table, newProbe(options.random));
    this.#denials = new ZoneDenials(options);
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
    const { settings, monotonicMs } = this.#options;
    const current = settings();
    this.#changes.run(() => this.#refreshNames(current));
    if (this.#table.isScarce) this.#dropDerived();
    // A published SOA expires with its hour on the monotonic clock, but the serial follows the system clock, which may
    // have been set.
    for (const apex of this.#denials.refresh(current)) this.#withdraw(this.#names.addressOf(apex));
    this.#table.sweep(secondOf(monotonicMs()));
    this.#table.collect();
  }

  #refreshNames(settings: ZoneSettings): void {
    this.#changes.removeDropped();
    this.#names.retry();
    this.#wildcards.retry();
    if (settings === this.#settings) return;
    this.#settings = settings;
    this.#table.newEra();
    this.#table.questionWildcards = QuestionLabels[settings.questionWildcards];
    this.#dropDerived();
    this.#changes.drop(this.#setNames());
    this.#wildcards.reset(settings, (address) => this.#removeWildcard(address));
    this.#denials.reset();
  }

  /** Call this when other keys sign or are published. Signatures that are being made are of the earlier keys. */
  resign(): void {
    this.#version++;
    this.#settings = undefined;
    this.refresh();
  }

  /** Call this when folded names have come to mean something else without a change of the services. */
  onNamesChanged(names: readonly Name[]): void {
    if (this.#settings === undefined) return;
    this.#version++;
    this.#changes.run(() => {
      const gone = this.#setNames();
      for (const address of gone) this.#withdraw(address);
      this.#changes.drop(gone);
    });
    for (const name of names) {
      this.#withdraw(this.#names.addressOf(name));
      this.#withdrawDependents(findNode(this.#options.root, name) ?? printName(name));
    }
  }

  /** Sets the names that exist whatever the services are. Returns the addresses to remove. */
  #setNames(): readonly number[] {
    const settings = this.#options.settings();
    return this.#names.setFixedNames(settings, consulNamesOf(settings, this.#options.facts).fixed);
  }

  /** Call this after each set of changes was applied, with the nodes of their owner names; see `CatalogOptions`. */
  onApplied(nodes: readonly Node[]): void {
    this.#version++;
    const { live, gone } = touchedBy(nodes);
    this.#changes.run(() => {
      for (const node of gone) this.#names.transfer(node);
      for (const node of live) if (node.tableAddress === 0) this.#addName(node);
      for (const node of live) this.#invalidateNode(node);
      for (const node of gone) this.#removeNode(node);
      this.#changeWildcards(live, gone);
    });
    this.#table.collect();
  }

  /**
   * As `publish`, but in a microtask, so that the server first sends a reply that needed no other server. A change in
   * between cancels it.
   */
  publishSoon(decided: Decided): void {
    this.#soon(this.#version, () => this.publish(decided));
  }

  #soon(version: number, publish: () => void): void {
    queueMicrotask(() => {
      if (this.#version !== version) return;
      try {
        publish();
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
    const isSignable = this.#isSignable(qname);
    const isPublished = isNodata(response)
      ? isLasting(basis) && this.#table.publishNodata(address, kind, isSignable)
      : this.#publishAnswer(address, kind, this.#encode(qname, decided), isSignable);
    if (isPublished)
      this.#dependents.add(address, dependenciesOf(this.#options.root, qname, basis));
  }

  /**
   * Publishes the form of an answer for clients with DO, once it is signed. Call this when the answer is decided; a
   * change in between cancels it.
   */
  publishSignedSoon(decided: Decided): (form: SignedForm) => void {
    const version = this.#version;
    return (form) => this.#soon(version, () => this.#publishSigned(decided, form));
  }

  #publishSigned(decided: Decided, form: SignedForm): void {
    const { question, view, basis } = decided;
    if (view.settings !== this.#settings || question.qclass !== Class.IN) return;
    // Each name below a stored wildcard has signatures of its own.
    if (basis.synthesis !== undefined) return;
    const qname = foldName(question.qname);
    const kind = kindOf(question.qtype);
    if (decided.response.rcode !== Rcode.NOERROR || !this.#mayBeKept(decided, kind)) return;
    const address = this.#names.addressOf(qname);
    if (address === 0 || this.#table.hasSigned(address, kind, secondOf(view.nowMs))) return;
    const { denial } = form;
    const signedBasis = { ...basis, isSample: basis.isSample || denial?.isSample === true };
    const answer = this.#encode(qname, { ...decided, basis: signedBasis }, form);
    if (answer === undefined || !this.#table.publishSigned(address, kind, answer)) return;
    if (denial !== undefined)
      this.#dependents.add(address, dependenciesOf(this.#options.root, qname, denial));
  }

  #isSignable(qname: Name): boolean {
    const apex = apexOf(this.#options.settings(), qname);
    return apex !== undefined && this.#options.isSigned(apex);
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
      : this.#publishAnswer(address, kind, this.#encodeBelow(wildcard.slice(1), probed));
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
    // An answer for one of these types says so, but all NODATA are one answer.
    if (kind === OTHER_KIND && basis.hasStoredRecords && isNodata(response)) return false;
    // A sample for a reply of another size is not the sample that the table's clients would get.
    return !basis.isSample || view.roomOctets === this.#table.maxUdpOctets;
  }

  /** `isSignable`: clients with DO get another answer. */
  #publishAnswer(
    address: number,
    kind: number,
    answer: NewAnswer | undefined,
    isSignable = false,
  ): boolean {
    return answer !== undefined && this.#table.publish(address, kind, { ...answer, isSignable });
  }

  /** The answer for a folded name; `undefined` if the table cannot hold it. */
  #encode(qname: Name, decided: Decided, form?: SignedForm): NewAnswer | undefined {
    const question = { ...decided.question, qname };
    return encodedAnswer({ ...decided, question }, this.#encoding(), { form });
  }

  /** The answer for all names below the encloser of a stored wildcard, decided for the probe. */
  #encodeBelow(encloser: Name, probed: Decided): NewAnswer | undefined {
    return encodedAnswer(probed, this.#encoding(), { encloser });
  }

  #encoding(): EncodingLimits {
    const { random, unixSeconds } = this.#options;
    return { maxUdpOctets: this.#table.maxUdpOctets, start: random(), unixSeconds: unixSeconds() };
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
