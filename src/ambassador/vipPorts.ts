/** The ports of a virtual address: those that the instances of its name have there. */
import type { Name } from '../dns/name.ts';
import { Type } from '../dns/rr.ts';
import { type ExposedPort, printExposedPort } from '../service/linking.ts';
import { NO_SRV } from '../service/service.ts';
import { newLookupState } from '../zone/tree/lookupState.ts';
import type { NamesUsed } from '../zone/tree/nameDependents.ts';
import { servicesAt } from '../zone/tree/services.ts';
import { apexOf, type View } from '../zone/tree/view.ts';
import { virtualPortOf } from './portChoice.ts';
import type { Route } from './route.ts';

/** A port of a virtual address, and what it leads to. */
export interface VipPort {
  readonly port: ExposedPort;
  /** The own port of the containers that serve it; undefined: those that have this port at the address. */
  readonly own: number | undefined;
}

export interface FoundPorts extends NamesUsed {
  /** Sorted, each once. */
  readonly value: readonly VipPort[];
  readonly missing: readonly [];
}

/** More ports of one address get no route. */
const MAX_PORTS = 256;

/** `given`: ports that the address has whatever the instances say; they come first. */
export function findVipPorts(view: View, name: Name, given: readonly VipPort[]): FoundPorts {
  const state = newLookupState(view);
  const apex = apexOf(view.settings, name);
  const at = apex === undefined ? undefined : servicesAt(state, name, apex, Type.SRV);
  const ports = new Map<string, VipPort>();
  for (const { registration } of at?.services ?? []) {
    const { attributes } = registration;
    const port = attributes.port === NO_SRV ? undefined : virtualPortOf(attributes);
    if (port !== undefined) ports.set(printExposedPort(port), { port, own: undefined });
  }
  for (const one of given) ports.set(printExposedPort(one.port), one);
  const sorted = [...ports].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, port]) => port);
  const { namesRead, presencesRead: presences } = state;
  const value = sorted.slice(0, MAX_PORTS);
  return { value, names: [...namesRead, name], presences, missing: [] };
}

export function isSamePorts(a: readonly VipPort[], b: readonly VipPort[]): boolean {
  return a.length === b.length && a.every((port, i) => printVipPort(port) === printVipPort(b[i]));
}

function printVipPort(vip: VipPort | undefined): string {
  return vip === undefined ? '' : `${printExposedPort(vip.port)} ${vip.own}`;
}

/** The routes of a virtual address to the ports of its name. */
export function routesOfVip(
  address: string,
  name: Name,
  ports: readonly VipPort[],
): readonly Route[] {
  return ports.map(({ port: { number: port, protocol }, own }) => ({
    match: { kind: 'virtual', address, port, protocol },
    target:
      own === undefined
        ? { kind: 'virtualPort', name, port }
        : { kind: 'service', name, port: own },
    origin: `virtual address ${address}`,
    sinceMs: 0,
  }));
}
