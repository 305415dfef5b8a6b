/**
 * The stored wildcards in the table: a wildcard is there exactly while it is in the zone tree and may answer for other
 * names. The table finds it by the name above it, its encloser. Its answers are those that the zone gives for one name
 * below the encloser that does not exist, the probe's.
 *
 * A wildcard without room is counted as a name without room, so the table then denies no name.
 */
import { type Label, type Name, printName, wireName } from '../../dns/name.ts';
import { answer, type Decided } from '../../zone/answer.ts';
import type { Node } from '../../zone/tree/tree.ts';
import type { ZoneSettings } from '../../zone/tree/view.ts';
import { ASTERISK, isStoredWildcard } from '../../zone/tree/wildcard.ts';
import { NO_ROOM } from '../table/nameSet.ts';
import type { AnswerTable } from '../table/table.ts';

interface HeldWildcard {
  readonly encloser: Name;
  address: number;
}

export class StoredWildcards {
  readonly #table: AnswerTable;
  readonly #probe: Label;
  /** All nodes of the tree whose label is `*`. */
  readonly #nodes = new Set<Node>();
  /** By the wildcard's name. */
  readonly #held = new Map<string, HeldWildcard>();
  readonly #enclosers = new Map<number, Name>();

  /** `probe`: as `newProbe` makes it. */
  constructor(table: AnswerTable, probe: Label) {
    this.#table = table;
    this.#probe = probe;
  }

  /** The address of a wildcard's answers; 0 if it is not in the table. */
  addressOf(wildcard: Name): number {
    const address = this.#held.get(printName(wildcard))?.address ?? 0;
    return address === NO_ROOM ? 0 : address;
  }

  /** The name of the probe below the encloser that has this address. */
  probeAt(address: number): Name | undefined {
    const encloser = this.#enclosers.get(address);
    return encloser && [this.#probe, ...encloser];
  }

  /** The same decision about the probe's name below the wildcard's encloser. */
  probed({ question, view }: Decided, wildcard: Name): Decided | undefined {
    const probing = { ...question, qname: [this.#probe, ...wildcard.slice(1)] };
    const decision = answer(view, probing);
    if (decision.kind !== 'response' || decision.basis === undefined) return undefined;
    const { response, basis } = decision;
    return { question: probing, view, response, basis };
  }

  /**
   * Call this with the nodes that a change has touched: those in the tree, and those that have left it. Returns the
   * addresses of wildcards whose answers may have changed, and passes those of wildcards that have left to `remove`.
   */
  changed(
    live: Iterable<Node>,
    gone: Iterable<Node>,
    settings: ZoneSettings,
    remove: (address: number) => void,
  ): readonly number[] {
    const left = new Map<string, Node>();
    for (const node of gone) {
      if (node.label === ASTERISK && this.#nodes.delete(node))
        left.set(printName(node.owner()), node);
    }
    const touched: number[] = [];
    for (const node of live) {
      if (node.label !== ASTERISK) continue;
      const key = printName(node.owner());
      left.delete(key);
      this.#nodes.add(node);
      const address = this.#held.get(key)?.address ?? 0;
      if (address === 0) this.#add(node, settings);
      else if (address !== NO_ROOM) touched.push(address);
    }
    for (const key of left.keys()) this.#remove(key, remove);
    return touched;
  }

  /** Call this when the settings change, which invalidates every answer. */
  reset(settings: ZoneSettings, remove: (address: number) => void): void {
    const wanted = new Set<string>();
    for (const node of this.#nodes) {
      const name = node.owner();
      if (!isStoredWildcard(settings, name)) continue;
      const key = printName(name);
      wanted.add(key);
      if (!this.#held.has(key)) this.#add(node, settings);
    }
    for (const key of this.#held.keys()) if (!wanted.has(key)) this.#remove(key, remove);
  }

  /** Tries again to add the wildcards that found no room. */
  retry(): void {
    for (const held of this.#held.values()) {
      if (held.address !== NO_ROOM) continue;
      held.address = this.#table.retryAddWildcard(wireName(held.encloser));
      if (held.address === NO_ROOM) return;
      this.#enclosers.set(held.address, held.encloser);
    }
  }

  #add(node: Node, settings: ZoneSettings): void {
    const name = node.owner();
    if (!isStoredWildcard(settings, name)) return;
    const encloser = name.slice(1);
    const address = this.#table.addWildcard(wireName(encloser));
    this.#held.set(printName(name), { encloser, address });
    if (address !== NO_ROOM) this.#enclosers.set(address, encloser);
  }

  #remove(key: string, remove: (address: number) => void): void {
    const held = this.#held.get(key);
    if (held === undefined) return;
    this.#held.delete(key);
    this.#enclosers.delete(held.address);
    remove(held.address);
  }
}
