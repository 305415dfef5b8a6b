/** RRs with a target, whose addresses go into the additional section: SRV, MX and NS. */
import { hexOfAddress } from '../dns/address.ts';
import { type Name, nameKey, nameOctets } from '../dns/name.ts';
import { type Rdata, type Rr, rrsetKey, Type } from '../dns/rr.ts';
import { COMPRESSED_RR_OCTETS } from '../dns/wire.ts';
import { DEFAULT_WEIGHT, NO_SRV, type Service } from '../service/service.ts';
import type { Followed, Trail } from './chain.ts';
import { followTarget } from './follow.ts';
import { appendNew, fitting, type Ranked, rrset, type TimedRdata } from './rrset.ts';
import type { LookupState } from './tree/lookupState.ts';
import type { Selected } from './tree/select.ts';
import { instanceName } from './tree/services.ts';
import type { Registration } from './tree/tree.ts';
import { serviceTtl } from './tree/ttl.ts';

export interface WithGlue {
  readonly answer: Rr[];
  readonly additional: Rr[];
}

/**
 * SRV of all services with a host. A weight is a share, in percent, of the total of its priority (`srvWeight`). The
 * total counts records, since services with equal priority, weight, port and target make one record.
 */
export function srv(
  state: LookupState,
  owner: Name,
  services: readonly Selected[],
  addressDomain?: Name,
): WithGlue {
  const hasPort = ({ attributes }: Service) => attributes.port !== NO_SRV;
  const usable = targetedBy(state, services, hasPort, addressDomain);
  const totals = new Map<number, number>();
  for (const { service } of oncePerRecord(state, usable)) {
    const priority = priorityOf(state, service);
    totals.set(priority, (totals.get(priority) ?? 0) + weightOf(service));
  }
  return rrsFor(state, owner, Type.SRV, usable, (service, target) => {
    const priority = priorityOf(state, service);
    const weight = srvWeight(weightOf(service), totals.get(priority) ?? DEFAULT_WEIGHT);
    return { kind: 'srv', priority, weight, port: service.attributes.port, target };
  });
}

function oncePerRecord(state: LookupState, targeted: readonly Targeted[]): readonly Targeted[] {
  const records = new Map<string, Targeted>();
  for (const each of targeted) {
    const { service, target } = each;
    const { port } = service.attributes;
    const name = nameKey(target);
    records.set(`${priorityOf(state, service)} ${weightOf(service)} ${port} ${name}`, each);
  }
  return [...records.values()];
}

/** MX of the services marked as mail exchanges; the SRV priority is the preference. */
export function mx(
  state: LookupState,
  owner: Name,
  services: readonly Selected[],
  addressDomain?: Name,
): WithGlue {
  const usable = targetedBy(state, services, ({ attributes }) => attributes.mail, addressDomain);
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

interface Targeted extends Ranked {
  readonly service: Registration;
  readonly target: Name;
}

/**
 * The services with a host that `isWanted` accepts, with their targets: as many as one message can carry. For
 * `addressDomain` see `NameServices`.
 */
function targetedBy(
  state: LookupState,
  services: readonly Selected[],
  isWanted: (service: Service) => boolean,
  addressDomain?: Name,
): readonly Targeted[] {
  const all: Targeted[] = [];
  for (const selected of services) {
    const { registration: service, standsFor, rank } = selected;
    if (service.family === 0 && service.target === undefined) continue;
    if (!isWanted(service)) continue;
    const { target, address } = service;
    const own = (): Name =>
      addressDomain === undefined
        ? instanceName(selected)
        : [hexOfAddress(address), ...addressDomain];
    const named = target ?? own();
    if (standsFor !== undefined && target === undefined && named.length !== standsFor.name.length)
      state.isUneven = true;
    all.push({ service, target: named, rank });
  }
  return fitting(all, ({ target }) => SRV_OCTETS + nameOctets(target), state.view.sampleStart);
}

/** An SRV RR without its target, which follows three numbers. MX and NS are smaller. */
const SRV_OCTETS = COMPRESSED_RR_OCTETS + 6;

/**
 * The share of `weight` in `total`, in percent. The operations have SkyDNS's order, so that 97 of 97 is 99 in IEEE
 * doubles here, too. The share is never 0, which clients may take for "only if there is no other".
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

/**
 * One RR for each target. An address becomes glue under the target's name; the glue of a host name comes from a
 * look-up.
 */
function rrsFor(
  state: LookupState,
  owner: Name,
  type: number,
  targeted: readonly Targeted[],
  build: (service: Service, target: Name) => Rdata,
): WithGlue {
  const members: TimedRdata[] = [];
  const glue = new Glue(state);
  for (const { service, target, rank } of targeted) {
    const ttl = serviceTtl(state, service);
    members.push({ rdata: build(service, target), ttl, rank });
    if (state.view.listing !== undefined) continue;
    if (service.target === undefined) glue.addAddress(target, service, { ttl, rank });
    else glue.addName(target);
  }
  return { answer: rrset(owner, type, members), additional: glue.rrs() };
}

/** An answer is valid without the addresses of its targets (RFC 2782). */
const GLUE_TRAIL: Trail = { names: [], need: 'optional' };

/** The additional section: addresses grouped into RRsets, then the addresses of target names, each looked up once. */
class Glue {
  readonly #state: LookupState;
  readonly #addresses = new Map<string, { owner: Name; type: number; members: TimedRdata[] }>();
  readonly #names = new Map<string, Name>();

  constructor(state: LookupState) {
    this.#state = state;
  }

  addAddress(owner: Name, service: Service, timed: Omit<TimedRdata, 'rdata'>): void {
    const type = service.family === 4 ? Type.A : Type.AAAA;
    const key = rrsetKey({ owner, type });
    const set = this.#addresses.get(key) ?? { owner, type, members: [] };
    set.members.push({ rdata: { kind: 'address', address: service.address }, ...timed });
    this.#addresses.set(key, set);
  }

  addName(target: Name): void {
    this.#names.set(nameKey(target), target);
  }

  /** Leaves out targets without addresses. */
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

  /** An error leaves out this target's addresses, not the answer. */
  #follow(target: Name, type: number): Followed | undefined {
    try {
      return followTarget(this.#state, target, type, GLUE_TRAIL);
    } catch (error) {
      this.#state.view.onFault(error);
      return undefined;
    }
  }
}
