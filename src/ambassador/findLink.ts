/** What a link to a service leads to: its ports, and the pairs in its texts. The instances are those of SRV. Pure. */
import { foldName, type Name, printName } from '../dns/name.ts';
import { Type } from '../dns/rr.ts';
import { type ExposedPort, printExposedPort } from '../service/linking.ts';
import { DEFAULT_WEIGHT, NO_SRV } from '../service/service.ts';
import { newLookupState } from '../zone/tree/lookupState.ts';
import type { Selected } from '../zone/tree/select.ts';
import { servicesAt } from '../zone/tree/services.ts';
import { apexOf, type View } from '../zone/tree/view.ts';
import type { ReachedPort, Variable } from './linkVariables.ts';
import { virtualPortOf } from './portChoice.ts';

/** Where the variables of a link lead. */
export type LinkWay =
  /** To the virtual address of the name. */
  | { readonly kind: 'vip'; readonly address: string }
  /** To an instance of now. */
  | { readonly kind: 'direct' }
  /** To the name. `hasVip`: DNS answers with its virtual address, where the service has its own ports. */
  | { readonly kind: 'name'; readonly hasVip: boolean };

export interface FoundLink {
  /** The address or the name that the variables have; of several instances' addresses the first. */
  readonly host: string;
  readonly ports: readonly ReachedPort[];
  /** The pairs `k=v` in the texts of the service; each name once. */
  readonly pairs: readonly Variable[];
  /** Ports of which the instances are reached at different numbers, so that one number in a variable is wrong for some. */
  readonly variedPorts: readonly ExposedPort[];
}

/** One link has at most this many ports, and this many pairs. */
const MAX_PORTS = 256;
const MAX_PAIRS = 256;

/** `undefined`: the name has no instance. */
export function findLink(view: View, owner: Name, way: LinkWay): FoundLink | undefined {
  const name = foldName(owner);
  const instances = inOrder(servicesOf(view, name, Type.SRV).filter(hasHost), view);
  const [first] = instances;
  if (first === undefined) return undefined;
  const ports = new Map<string, ReachedPort>();
  const varied = new Map<string, ExposedPort>();
  for (const instance of instances) {
    const port = linkedPort(instance, name, way);
    if (port === undefined) continue;
    const id = printExposedPort(port.exposed);
    const other = ports.get(id);
    if (other === undefined) ports.set(id, port);
    else if (way.kind === 'name' && other.port !== port.port) varied.set(id, port.exposed);
  }
  return {
    host: hostOf(first, name, way),
    ports: [...ports.values()].slice(0, MAX_PORTS),
    pairs: pairsOf(view, name),
    variedPorts: [...varied.values()],
  };
}

function servicesOf(view: View, name: Name, type: number): readonly Selected[] {
  const apex = apexOf(view.settings, name);
  if (apex === undefined) return [];
  return servicesAt(newLookupState(view), name, apex, type)?.services ?? [];
}

function hasHost({ registration: { family, target } }: Selected): boolean {
  return family !== 0 || target !== undefined;
}

/** The preferred one first, IPv4 before IPv6. Of equal ones always the same, so that the variables seldom change. */
function inOrder(services: readonly Selected[], { settings }: View): readonly Selected[] {
  const keyed = services.map((selected) => {
    const { attributes, family } = selected.registration;
    return {
      selected,
      priority: attributes.priority || settings.priority,
      weight: attributes.weight || DEFAULT_WEIGHT,
      isIpv6: family === 6,
      owner: printName(selected.node.owner()),
    };
  });
  return keyed
    .sort(
      (a, b) =>
        a.priority - b.priority ||
        b.weight - a.weight ||
        Number(a.isIpv6) - Number(b.isIpv6) ||
        (a.owner < b.owner ? -1 : 1),
    )
    .map(({ selected }) => selected);
}

/** The instance's port; `undefined` if it has none. */
function linkedPort(instance: Selected, name: Name, way: LinkWay): ReachedPort | undefined {
  const { attributes } = instance.registration;
  const { linking, port } = attributes;
  if (port === NO_SRV) return undefined;
  const virtual = virtualPortOf(attributes);
  const exposed = linking.expose ?? virtual;
  if (exposed === undefined || virtual === undefined) return undefined;
  const host = hostOf(instance, name, way);
  const isVirtual = way.kind === 'vip' || (way.kind === 'name' && way.hasVip);
  if (isVirtual) return { exposed, host, port: virtual.number };
  return { exposed, host, port: port > 0 ? port : exposed.number };
}

function hostOf({ registration: { address, target } }: Selected, name: Name, way: LinkWay): string {
  switch (way.kind) {
    case 'vip':
      return way.address;
    case 'name':
      return hostName(name);
    case 'direct':
      return target === undefined ? address : hostName(target);
  }
}

/** Without the final dot, which not every program takes. */
export function hostName(name: Name): string {
  return printName(name).replace(/\.$/, '');
}

function pairsOf(view: View, name: Name): readonly Variable[] {
  const pairs = new Map<string, Variable>();
  for (const { registration } of inOrder(servicesOf(view, name, Type.TXT), view)) {
    const pair = pairIn(registration.attributes.text);
    if (pair !== undefined && !pairs.has(pair.name) && pairs.size < MAX_PAIRS)
      pairs.set(pair.name, pair);
  }
  return [...pairs.values()];
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The pair in the octets of a text (RFC 1464, without its quoting); `undefined` if they are none, or not UTF-8. */
function pairIn(octets: string): Variable | undefined {
  let text: string;
  try {
    text = utf8.decode(Buffer.from(octets, 'latin1'));
  } catch {
    return undefined;
  }
  const at = text.indexOf('=');
  return at > 0 ? { name: text.slice(0, at), value: text.slice(at + 1) } : undefined;
}
