/** RRs that name a target and bring its addresses along: SRV, MX and NS. */
import { type Name, nameKey, nameOctets } from '../dns/name.ts';
import { type Rdata, type Rr, Type } from '../dns/rr.ts';
import { NO_SRV, type Service, type ServiceAttributes } from '../service/service.ts';
import type { Followed, Trail } from './chain.ts';
import { followTarget } from './follow.ts';
import type { LookupState } from './lookupState.ts';
import { appendNew, fitting, rrset, type TimedRdata, type Ttl, ttlOf } from './rrset.ts';
import type { Selected } from './select.ts';
import type { Registration } from './tree.ts';

export interface WithGlue {
  readonly answer: Rr[];
  readonly additional: Rr[];
}

const DEFAULT_WEIGHT = 100;

/**
 * SRV of all services with a host. Weights are shares of their priority in percent, see `srvWeight`:
 * of the records that are listed, since services with one target and port make one record.
 */
export function srv(state: LookupState, owner: Name, services: readonly Selected[]): WithGlue {
  const usable = targetedBy(state, services, ({ attributes }) => attributes.port !== NO_SRV);
  const totals = new Map<number, number>();
  for (const { service } of listedOnce(state, usable)) {
    const priority = priorityOf(state, service);
    totals.set(priority, (totals.get(priority) ?? 0) + weightOf(service));
  }
  return rrsFor(state, owner, Type.SRV, usable, (service, target) => {
    const priority = priorityOf(state, service);
    const weight = srvWeight(weightOf(service), totals.get(priority) ?? DEFAULT_WEIGHT);
    return { kind: 'srv', priority, weight, port: service.attributes.port, target };
  });
}

function listedOnce(state: LookupState, targeted: readonly Targeted[]): readonly Targeted[] {
  const listed = new Map<string, Targeted>();
  for (const each of targeted) {
    const { service, target } = each;
    const { port } = service.attributes;
    const name = nameKey(target);
    listed.set(`${priorityOf(state, service)} ${weightOf(service)} ${port} ${name}`, each);
  }
  return [...listed.values()];
}

/** MX of the services marked as mail exchanges; the SRV priority is the preference. */
export function mx(state: LookupState, owner: Name, services: readonly Selected[]): WithGlue {
  const usable = targetedBy(state, services, ({ attributes }) => attributes.mail);
  return rrsFor(state, owner, Type.MX, usable, (service, exchange) => ({
    kind: 'mx',
    preference: priorityOf(state, service),
    exchange,
  }));
}

/** NS of the services at `ns.dns.<apex>`. */
export function ns(state: LookupState, owner: Name, services: readonly Selected[]): WithGlue {
  const usable = targetedBy(state, services, () => true);
  return rrsFor(state, owner, Type.NS, usable, (_service, target) => ({ kind: 'name', target }));
}

interface Targeted {
  readonly service: Registration;
  readonly target: Name;
}

/** The services with their targets: those with a host that `isWanted`, as many as one message can carry. */
function targetedBy(
  state: LookupState,
  services: readonly Selected[],
  isWanted: (service: Service) => boolean,
): readonly Targeted[] {
  const all: Targeted[] = [];
  for (const { node, registration: service } of services) {
    if (service.family === 0 && service.target === undefined) continue;
    if (!isWanted(service)) continue;
    all.push({ service, target: service.target ?? ownTarget(node.owner(), service.attributes) });
  }
  return fitting(all, ({ target }) => RR_OCTETS + nameOctets(target), state.view.sampleStart);
}

/**
 * The target of an address: the name of its own key, less `targetstrip` labels, of which as many as there are, or more,
 * strip nothing (SkyDNS). A host name keeps its labels: external-dns writes `targetstrip` for its own prefix beside
 * hosts as well.
 */
function ownTarget(owner: Name, { targetStrip }: ServiceAttributes): Name {
  return targetStrip > 0 && targetStrip < owner.length ? owner.slice(targetStrip) : owner;
}

/** Of an SRV rr, the largest of the three, without its target: a compressed owner, fixed fields, three numbers. */
const RR_OCTETS = 18;

/**
 * The share of `weight` in `total`, in percent. Go's order of operations in IEEE doubles, which JavaScript shares, so
 * that 97 of 97 is 99 here as it is there; but never 0, which clients may take for "only if there is no other".
 */
export function srvWeight(weight: number, total: number): number {
  return Math.max(1, Math.floor((100 / total) * weight));
}

function weightOf(service: Service): number {
  return service.attributes.weight || DEFAULT_WEIGHT;
}

function priorityOf(state: LookupState, service: Service): number {
  return service.attributes.priority || state.view.settings.priority;
}

/** One rr a target, with the address as glue under the target's very name; a host name is looked up. */
function rrsFor(
  state: LookupState,
  owner: Name,
  type: number,
  targeted: readonly Targeted[],
  build: (service: Service, target: Name) => Rdata,
): WithGlue {
  const members: TimedRdata[] = [];
  const glue = new Glue(state);
  for (const { service, target } of targeted) {
    const ttl = ttlOf(state, service);
    members.push({ rdata: build(service, target), ttl });
    if (service.target === undefined) glue.addAddress(target, service, ttl);
    else glue.addName(target);
  }
  return { answer: rrset(owner, type, members), additional: glue.rrs() };
}

/** The additional section of answers that name targets: the targets' addresses, as far as they can be had. */

/** An answer without the addresses of its targets is an answer all the same (RFC 2782). */
const GLUE_TRAIL: Trail = { names: [], need: 'optional' };

/** Addresses grouped into RRsets, then what the target names lead to, each looked up once. */
export class Glue {
  readonly #state: LookupState;
  readonly #addresses = new Map<string, { owner: Name; type: number; members: TimedRdata[] }>();
  readonly #names = new Map<string, Name>();

  constructor(state: LookupState) {
    this.#state = state;
  }

  addAddress(owner: Name, service: Service, ttl: Ttl): void {
    const type = service.family === 4 ? Type.A : Type.AAAA;
    const key = `${nameKey(owner)} ${type}`;
    const set = this.#addresses.get(key) ?? { owner, type, members: [] };
    set.members.push({ rdata: { kind: 'address', address: service.address }, ttl });
    this.#addresses.set(key, set);
  }

  addName(target: Name): void {
    this.#names.set(nameKey(target), target);
  }

  /** What is not found is left out. */
  rrs(): Rr[] {
    const section: Rr[] = [];
    const seen = new Set<string>();
    for (const { owner, type, members } of this.#addresses.values()) {
      appendNew(section, seen, rrset(owner, type, members));
    }
    for (const target of this.#names.values()) {
      for (const type of [Type.A, Type.AAAA]) {
        const end = this.#follow(target, type);
        if (end?.kind === 'found') appendNew(section, seen, end.rrs);
      }
    }
    return section;
  }

  /** A fault costs this target's addresses, never the answer. */
  #follow(target: Name, type: number): Followed | undefined {
    try {
      return followTarget(this.#state, target, type, GLUE_TRAIL);
    } catch (error) {
      this.#state.view.onFault(error);
      return undefined;
    }
  }
}
