/**
 * dataplane/publish/: Which answers are in the table, and which change takes them out.
 * Imports: dataplane/table, dns, zone.
 * Used by: app.
 *
 * Fills the answer table from the zone, and keeps it true.
 *
 * Names go into the table as they come into the tree, answers when somebody asked for them: `zone/answer` works one out
 * and it is published with how long it holds. A change takes away the answers of its owner, of the names above it, and of
 * all whose answers were made from one of these, before the turn ends in which it was applied. So what the table holds is
 * what the zone would answer, or nothing.
 */
import type { Question, Response } from '../../dns/message.ts';
import { foldName, isSubdomainOf, type Name, printName } from '../../dns/name.ts';
import { Class, Rcode, Type } from '../../dns/rr.ts';
import { answer, serialLifeSeconds, serialOf } from '../../zone/answer.ts';
import type { Basis } from '../../zone/lookupState.ts';
import { isWildcard } from '../../zone/select.ts';
import { findNode, type Node } from '../../zone/tree.ts';
import {
  type Externals,
  type Freshness,
  NO_EXTERNALS,
  type View,
  type ZoneSettings,
} from '../../zone/view.ts';
import { COUNTED_TYPES, OTHER_TYPE } from '../table/counters.ts';
import { FOREVER } from '../table/layout.ts';
import { packNegatives } from '../table/negatives.ts';
import type { AnswerTable } from '../table/table.ts';
import { type Aging, agedTogether } from './aging.ts';
import { negativesOf } from './negatives.ts';
import { type Dependency, Dependents, OwnerNames } from './owners.ts';
import { encodeBehindQuestion, rotationsOf, variantsOf } from './variants.ts';

export interface PublisherOptions {
  readonly table: AnswerTable;
  readonly root: Node;
  readonly settings: () => ZoneSettings;
  /** The clock by which leases end. */
  readonly monotonicMs: () => number;
  readonly unixSeconds: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  /** A fault in a part that an answer can do without. Must not throw. */
  readonly onFault: (error: unknown) => void;
}

/** Others' answers, and samples, are asked for anew so often. */
const SHORT_LIFE_SECONDS = 1;
/** Where not every record can come first, the ones that do change so often. */
const ORDER_LIFE_SECONDS = 15;
/** An SOA's serial follows a clock that may be set. */
const SOA_LIFE_SECONDS = 15;

export class Publisher {
  readonly #options: PublisherOptions;
  readonly #table: AnswerTable;
  readonly #names: OwnerNames;
  readonly #dependents = new Dependents();
  #settings: ZoneSettings | undefined;
  /** Of the published SOAs; -1 for none. */
  #serial = -1;
  /** Addresses of names that settings gave up, and that no batch may miss in the old zones. */
  #namesToRemove: readonly number[] = [];

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#table = options.table;
    this.#names = new OwnerNames(options.root, options.table);
  }

  /** To be called when the store's freshness changed; at first it is `loading`. */
  setFreshness(freshness: Freshness): void {
    this.refresh();
    this.#table.stale = freshness === 'stale';
    this.#table.active = freshness !== 'loading';
  }

  /** To be called when settings changed, and twice a second: notices a new serial, finds room, and gives it back. */
  refresh(): void {
    const { settings, unixSeconds, monotonicMs } = this.#options;
    for (const address of this.#namesToRemove) this.#removeName(address);
    this.#namesToRemove = [];
    this.#names.retry();
    if (settings() !== this.#settings) {
      this.#settings = settings();
      this.#serial = -1;
      this.#table.newEra();
      this.#namesToRemove = this.#names.setFixedNames(settings());
    }
    const serial = serialOf(unixSeconds());
    if (serial !== this.#serial) {
      // An SOA that is published ends with its hour, but by a clock that nobody sets.
      for (const apex of settings().apexes) this.#withdraw(this.#names.addressOf(apex));
      const hasRoom = this.#table.setNegatives(
        packNegatives(negativesOf(this.#view(NO_EXTERNALS))),
      );
      if (hasRoom) this.#serial = serial;
    }
    this.#table.sweep(secondOf(monotonicMs()));
    this.#table.collect();
  }

  /** To be called at the end of each application of changes, with the owners' nodes; see `CatalogOptions`. */
  applied(nodes: readonly Node[]): void {
    const { live, gone } = touchedBy(nodes);
    for (const node of gone) this.#names.transfer(node);
    for (const node of live) if (node.tableAddress === 0) this.#addName(node);
    for (const node of live) this.#invalidate(node);
    for (const node of gone) this.#removeNode(node);
    this.#table.collect();
  }

  /** Publishes the answer to a question that was asked, if it is one that may be kept and is not there yet. */
  publish(question: Question, externals: Externals): void {
    const qname = foldName(question.qname);
    const kind = kindOf(question.qtype);
    if (question.qclass !== Class.IN || qname.some(isWildcard)) return;
    const address = this.#names.addressOf(qname);
    const view = this.#view(externals);
    const second = secondOf(view.nowMs);
    if (address === 0 || this.#table.has(address, kind, second)) return;
    const asked = { ...question, qname };
    const decided = answer(view, asked);
    if (decided.kind !== 'response' || decided.basis === undefined) return;
    const { response, basis } = decided;
    if (response.extendedError !== undefined || response.rcode !== Rcode.NOERROR) return;
    // The word for other types is one for all of them, to each of which another server may say something else.
    if (kind === OTHER_TYPE && basis.leadsOutside) return;
    const published = isNodata(response)
      ? isLasting(basis) && this.#table.publishNodata(address, kind)
      : this.#publishAnswer(address, kind, { asked, response, basis, view, second });
    if (published) this.#dependents.add(address, this.#dependenciesOf(qname, basis));
  }

  #publishAnswer(address: number, kind: number, decided: Decided): boolean {
    const { asked, response, basis, view, second } = decided;
    const aging = agedTogether(asked, response, view, basis);
    const encode = (order: Response) =>
      encodeBehindQuestion(asked, order, this.#table.maxUdpOctets);
    const encoded = encode(response);
    if (encoded.cuts.length === 0) return false;
    const mayBeCut = encoded.cuts.some(({ truncated }) => truncated);
    const { rotations, isComplete, isFixed } = rotationsOf(asked, response, view, mayBeCut);
    const orders = rotations.map((order) => ({
      response: order,
      encoded: order === response ? encoded : encode(order),
    }));
    const variants = variantsOf(orders, (rr) => aging.falling.has(rr));
    return this.#table.publish(address, kind, {
      untilSecond: this.#untilSecond(decided, aging, isComplete),
      ttlsAtSecond: second,
      rcode: response.rcode,
      authoritative: response.authoritative,
      plainOnly: basis.leadsOutside,
      fixedOrder: isFixed,
      variants: variants.count,
      words: variants.words,
    });
  }

  #untilSecond({ response, basis, second }: Decided, aging: Aging, isComplete: boolean): number {
    let life = aging.lifeSeconds;
    if (!isLasting(basis)) life = Math.min(life, SHORT_LIFE_SECONDS);
    if (!isComplete) life = Math.min(life, ORDER_LIFE_SECONDS);
    if ([...response.answer, ...response.authority].some(({ type }) => type === Type.SOA)) {
      life = Math.min(life, serialLifeSeconds(this.#options.unixSeconds()), SOA_LIFE_SECONDS);
    }
    return Math.min(second + life, FOREVER);
  }

  /** What the answer rests on outside its own name's part of the tree. */
  #dependenciesOf(qname: Name, { names }: Basis): Dependency[] {
    return names
      .filter((name) => !isSubdomainOf(name, qname))
      .map((name) => findNode(this.#options.root, name) ?? printName(name));
  }

  #addName(node: Node): void {
    this.#names.add(node);
    if (this.#dependents.size > 0) this.#withdrawDependents(printName(node.owner()));
  }

  #invalidate(node: Node): void {
    this.#withdraw(node.tableAddress);
    this.#withdrawDependents(node);
  }

  #removeNode(node: Node): void {
    this.#withdrawDependents(node);
    this.#withdraw(node.tableAddress);
    const address = this.#names.remove(node);
    if (address !== 0) this.#removeName(address);
  }

  /** The name at the address is gone, and with it all that is known of the address. */
  #removeName(address: number): void {
    this.#withdraw(address);
    this.#table.remove(address);
  }

  #withdrawDependents(dependency: Dependency): void {
    if (this.#dependents.size === 0) return;
    for (const address of this.#dependents.of(dependency)) this.#withdraw(address);
  }

  #withdraw(address: number): void {
    if (address === 0) return;
    this.#table.clear(address);
    this.#dependents.forget(address);
  }

  /** Without chance: which record comes first is `rotationsOf`'s to say. */
  #view(externals: Externals): View {
    const { root, settings, monotonicMs, unixSeconds, random } = this.#options;
    return {
      root,
      settings: settings(),
      nowMs: monotonicMs(),
      unixSeconds: unixSeconds(),
      sampleStart: random(),
      random: () => 0,
      externals,
      recursionDesired: true,
      roomOctets: this.#table.maxUdpOctets,
      onFault: this.#options.onFault,
    };
  }
}

interface Decided {
  readonly asked: Question;
  readonly response: Response;
  readonly basis: Basis;
  readonly view: View;
  readonly second: number;
}

/** The changed nodes and all above them: those that are in the tree, and those that are no longer. */
function touchedBy(nodes: readonly Node[]): { live: Set<Node>; gone: Set<Node> } {
  const live = new Set<Node>();
  const gone = new Set<Node>();
  for (const changed of nodes) {
    for (let node: Node | undefined = changed; node !== undefined; node = node.parent) {
      const isInTree: boolean = node.serviceCount > 0 || node.parent === undefined;
      const touched: Set<Node> = isInTree ? live : gone;
      if (touched.has(node)) break;
      touched.add(node);
    }
  }
  return { live, gone };
}

function kindOf(qtype: number): number {
  const kind = COUNTED_TYPES.findIndex(([, type]) => type === qtype);
  return kind < 0 ? OTHER_TYPE : kind;
}

function secondOf(ms: number): number {
  return Math.floor(ms / 1000);
}

/** Whether the same question has the same answer for as long as no name changes that it rests on. */
function isLasting({ isSample, isForeign }: Basis): boolean {
  return !isSample && !isForeign;
}

/** Nothing but the zone's SOA. */
function isNodata({ answer: rrs, authority }: Response): boolean {
  return rrs.length === 0 && authority.length > 0;
}
