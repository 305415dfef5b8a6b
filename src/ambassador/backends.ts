/**
 * The backends of a target: for a service the instances that SRV lists for its name, chosen by the same selection, with
 * the addresses of their hosts.
 */

import { printSocketAddress } from '../dns/address.ts';
import { type Name, printName } from '../dns/name.ts';
import { type Rr, Type } from '../dns/rr.ts';
import { DEFAULT_WEIGHT } from '../service/service.ts';
import type { Trail } from '../zone/chain.ts';
import { followTarget } from '../zone/follow.ts';
import {
  type LookupState,
  type MissingQuestion,
  newLookupState,
} from '../zone/tree/lookupState.ts';
import type { NamesUsed } from '../zone/tree/nameDependents.ts';
import { servicesAt } from '../zone/tree/services.ts';
import { apexOf, type External, type Externals, type View } from '../zone/tree/view.ts';
import {
  choiceOfPort,
  hasChosenPort,
  type InstanceTarget,
  instanceOf,
  needOf,
  type ServiceInstance,
  servesProtocol,
} from './portChoice.ts';
import type { Backend, BackendSet, Protocol, Target, TargetHost } from './route.ts';

/** A target with the port and protocol of its route. */
export interface Wanted {
  readonly target: Exclude<Target, { kind: 'key' }>;
  readonly protocol: Protocol;
  /** The port to which consumers connect: that of backends without one. Undefined for a Unix socket. */
  readonly port: number | undefined;
}

export interface ResolvedBackends extends NamesUsed {
  readonly value: BackendSet;
  /** Questions to other servers. The set lacks the backends that depend on them. */
  readonly missing: readonly MissingQuestion[];
}

/** More serve no route: the kernel's map has 256 slots. */
const MAX_BACKENDS = 1_024;

const TRAIL: Trail = { names: [], need: 'optional' };

/** `prefix`: of the store's keys, as `keyPrefix` returns it. */
export function resolveBackends(view: View, wanted: Wanted, prefix: string): ResolvedBackends {
  const externals = new NotedFailures(view.externals);
  const state = newLookupState({ ...view, externals });
  const found = findBackends(state, wanted, prefix);
  const { namesRead: names, presencesRead: presences, missing } = state;
  const [first] = missing;
  if (found.backends.length === 0 && (first ?? externals.failed) !== undefined) {
    const reason =
      first === undefined
        ? `no server has answered about ${printName(externals.failed ?? [])}`
        : `waits for the answer about ${printName(first.question.qname)}`;
    return { value: { kind: 'waits', reason }, names, presences, missing };
  }
  const backends = sortedOnce(found.backends).slice(0, MAX_BACKENDS);
  const value: BackendSet =
    backends.length > 0 || found.reason === undefined
      ? { kind: 'known', backends }
      : { kind: 'known', backends, reason: found.reason };
  return { value, names, presences, missing };
}

/** Notes a name about which no server gives an answer. It may have backends all the same. */
class NotedFailures implements Externals {
  failed: Name | undefined;
  readonly sent: number;
  readonly #externals: Externals;

  constructor(externals: Externals) {
    this.#externals = externals;
    this.sent = externals.sent;
  }

  get(qname: Name, qtype: number): External | undefined {
    const answer = this.#externals.get(qname, qtype);
    if (answer?.kind === 'failed') this.failed ??= qname;
    return answer;
  }
}

interface Found {
  readonly backends: readonly Backend[];
  /** Why there is none. */
  readonly reason: string | undefined;
}

function findBackends(state: LookupState, wanted: Wanted, prefix: string): Found {
  const { target } = wanted;
  if (target.kind !== 'endpoints') return findInstances(state, target, wanted, prefix);
  const backends = target.endpoints.flatMap(({ host, port }) =>
    atAddresses(addressesOf(state, host), { port, priority: 0, weight: DEFAULT_WEIGHT }),
  );
  return { backends, reason: 'the name has no address' };
}

function findInstances(
  state: LookupState,
  target: InstanceTarget,
  wanted: Wanted,
  prefix: string,
): Found {
  const { name } = target;
  const apex = apexOf(state.view.settings, name);
  if (apex === undefined) return findOutside(state, name, wanted);
  const at = servicesAt(state, name, apex, Type.SRV);
  if (at === undefined) return { backends: [], reason: `${printName(name)} does not exist` };
  const instances = at.services.map((selected) => instanceOf(selected, prefix));
  const usable = instances.filter((instance) => servesProtocol(instance, wanted.protocol));
  const choice = choiceOfPort(usable, target, wanted.port);
  if (choice.kind === 'ambiguous') return { backends: [], reason: choice.reason };
  const chosen = usable.filter((instance) => hasChosenPort(instance, choice));
  const backends = chosen.flatMap((instance) => backendsAt(state, instance, wanted));
  return {
    backends,
    reason: `${printName(name)} has no instance ${needOf(wanted.protocol, choice)}`,
  };
}

function backendsAt(
  state: LookupState,
  instance: ServiceInstance,
  { port }: Wanted,
): readonly Backend[] {
  const { family, address, target, attributes } = instance.selected.registration;
  const host: TargetHost | undefined =
    family !== 0 ? { kind: 'address', address } : target && { kind: 'name', name: target };
  const at = attributes.port > 0 ? attributes.port : port;
  if (host === undefined || at === undefined) return [];
  return atAddresses(addressesOf(state, host), {
    port: at,
    priority: attributes.priority || state.view.settings.priority,
    weight: attributes.weight || DEFAULT_WEIGHT,
    key: instance.key,
  });
}

/** The targets of SRV records of a name outside our zones. */
function findOutside(state: LookupState, name: Name, { port }: Wanted): Found {
  const found = followTarget(state, name, Type.SRV, { ...TRAIL, need: 'required' });
  if (found.kind !== 'found')
    return { backends: [], reason: `${printName(name)} has no SRV records` };
  const backends = found.rrs.flatMap(({ rdata }) => {
    if (rdata.kind !== 'srv') return [];
    const { priority, weight, target } = rdata;
    const at = rdata.port > 0 ? rdata.port : port;
    if (at === undefined) return [];
    const addresses = addressesOf(state, { kind: 'name', name: target });
    return atAddresses(addresses, { port: at, priority, weight: Math.max(1, weight) });
  });
  return { backends, reason: 'the targets of its SRV records have no address' };
}

/** The IPv4 addresses of a host, or its IPv6 addresses if it has no other. */
function addressesOf(state: LookupState, host: TargetHost): readonly string[] {
  if (host.kind === 'address') return [host.address];
  const v4 = addressesOfType(state, host.name, Type.A);
  // A question that is not answered yet may still bring IPv4 addresses.
  return v4.length > 0 || state.missing.some(({ question }) => question.qtype === Type.A)
    ? v4
    : addressesOfType(state, host.name, Type.AAAA);
}

function addressesOfType(state: LookupState, name: Name, type: number): readonly string[] {
  const followed = followTarget(state, name, type, TRAIL);
  return followed.kind === 'found' ? addressesIn(followed.rrs, type) : [];
}

function addressesIn(rrs: readonly Rr[], type: number): readonly string[] {
  return rrs.flatMap((rr) =>
    rr.type === type && rr.rdata.kind === 'address' ? [rr.rdata.address] : [],
  );
}

interface BackendAttributes {
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
  readonly key?: string | undefined;
}

/** One backend for each address; they share the weight. */
function atAddresses(
  addresses: readonly string[],
  { port, priority, weight, key }: BackendAttributes,
): readonly Backend[] {
  const share = Math.max(1, Math.round(weight / Math.max(1, addresses.length)));
  return addresses.map((address) => ({ address, port, priority, weight: share, key }));
}

/** Sorted, each address and port once: with its least priority number, and the greatest weight at that priority. */
function sortedOnce(backends: readonly Backend[]): readonly Backend[] {
  const once = new Map<string, Backend>();
  for (const backend of backends) {
    const id = printSocketAddress(backend);
    const other = once.get(id);
    if (other === undefined || isPreferred(backend, other)) once.set(id, backend);
  }
  return [...once].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, backend]) => backend);
}

function isPreferred(a: Backend, b: Backend): boolean {
  return a.priority !== b.priority ? a.priority < b.priority : a.weight > b.weight;
}
