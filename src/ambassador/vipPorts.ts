/** The ports of a virtual address: those that the instances of its name have there. */
import type { Name } from '../dns/name.ts';
import { Type } from '../dns/rr.ts';
import { type ExposedPort, printExposedPort } from '../service/linking.ts';
import { NO_SRV } from '../service/service.ts';
import { newLookupState } from '../zone/lookupState.ts';
import { servicesAt } from '../zone/services.ts';
import { apexOf, type View } from '../zone/view.ts';
import { virtualPortOf } from './portChoice.ts';
import type { Route } from './route.ts';

export interface FoundPorts {
  /** Sorted, each once. */
  readonly value: readonly ExposedPort[];
  /** Folded names; the value holds until something at or below one of them changes. */
  readonly names: readonly Name[];
  readonly missing: readonly [];
}

/** More ports of one address get no route: a rule of the kernel's map has room for them all. */
const MAX_PORTS = 256;

/** `extra`: ports that the address has whatever the instances say. */
export function findVipPorts(view: View, name: Name, extra: readonly ExposedPort[]): FoundPorts {
  const state = newLookupState(view);
  const apex = apexOf(view.settings, name);
  const at = apex === undefined ? undefined : servicesAt(state, name, apex, Type.SRV);
  const ports = new Map(extra.map((port) => [printExposedPort(port), port]));
  for (const { registration } of at?.services ?? []) {
    const { attributes } = registration;
    const port = attributes.port === NO_SRV ? undefined : virtualPortOf(attributes);
    if (port !== undefined) ports.set(printExposedPort(port), port);
  }
  const sorted = [...ports].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, port]) => port);
  return { value: sorted.slice(0, MAX_PORTS), names: [...state.namesRead, name], missing: [] };
}

export function isSamePorts(a: readonly ExposedPort[], b: readonly ExposedPort[]): boolean {
  return a.length === b.length && a.map(printExposedPort).join() === b.map(printExposedPort).join();
}

/** The routes of a virtual address to the ports of its name. */
export function routesOfVip(
  address: string,
  name: Name,
  ports: readonly ExposedPort[],
): readonly Route[] {
  return ports.map(({ number: port, protocol }) => ({
    match: { kind: 'virtual', address, port, protocol },
    target: { kind: 'virtualPort', name, port },
    origin: `virtual address ${address}`,
    sinceMs: 0,
  }));
}
