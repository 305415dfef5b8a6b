/**
 * Which instances of a service a route leads to, where they have several ports. A container's own port decides, because
 * the port under which it is published differs from host to host.
 */
import { keyOfName } from '../service/key.ts';
import { type ExposedPort, printExposedPort } from '../service/linking.ts';
import { NO_SRV, type ServiceAttributes } from '../service/service.ts';
import type { Selected } from '../zone/tree/select.ts';
import type { Protocol, Target } from './route.ts';

export type InstanceTarget = Extract<Target, { kind: 'service' | 'virtualPort' }>;

/** Ports in a message. */
const MAX_LISTED = 8;

/** Says which instance a route lacks. */
export function needOf(protocol: Protocol, choice: PortChoice): string {
  return choice.kind === 'any' || choice.kind === 'ambiguous'
    ? `for ${protocol}`
    : `with port ${choice.port}/${protocol}`;
}

/** A service with its key, and the port that its container listens on as far as the record says. */
export interface ServiceInstance {
  readonly selected: Selected;
  readonly key: string | undefined;
  readonly exposed: ExposedPort | undefined;
}

export function instanceOf(selected: Selected, prefix: string): ServiceInstance {
  const { node, registration } = selected;
  return {
    selected,
    key: registration.key ?? keyOfName(node.owner(), prefix),
    exposed: registration.attributes.linking.expose,
  };
}

export function servesProtocol({ selected, exposed }: ServiceInstance, wanted: Protocol): boolean {
  const { family, target, attributes } = selected.registration;
  if (attributes.port === NO_SRV || (family === 0 && target === undefined)) return false;
  const { protocol } = exposed ?? attributes.linking.vipPort ?? { protocol: wanted };
  return protocol === wanted;
}

/** Which of a service's instances a route leads to. */
export type PortChoice =
  | { readonly kind: 'any' }
  /** Those that expose this port; those that expose no port are included. */
  | { readonly kind: 'exposed'; readonly port: number }
  /** Those with this port of their own: of an instance that exposes none, it is the record's. */
  | { readonly kind: 'own'; readonly port: number }
  /** Those at this port of the virtual address. */
  | { readonly kind: 'virtual'; readonly port: number }
  | { readonly kind: 'ambiguous'; readonly reason: string };

/**
 * The choice that the target states; otherwise the route's port if a container exposes it. Containers that expose one
 * port in all need no choice.
 */
export function choiceOfPort(
  instances: readonly ServiceInstance[],
  target: InstanceTarget,
  routePort: number | undefined,
): PortChoice {
  if (target.kind === 'virtualPort') return { kind: 'virtual', port: target.port };
  if (target.port !== undefined) return { kind: 'own', port: target.port };
  const ports = new Map<number, ExposedPort>();
  for (const { exposed } of instances)
    if (exposed !== undefined) ports.set(exposed.number, exposed);
  if (ports.size <= 1) return { kind: 'any' };
  if (routePort !== undefined && ports.has(routePort)) return { kind: 'exposed', port: routePort };
  const listed = [...ports.values()].map(printExposedPort).sort().slice(0, MAX_LISTED).join(', ');
  return { kind: 'ambiguous', reason: `the name has several ports (${listed}): add :PORT to it` };
}

export function hasChosenPort({ selected, exposed }: ServiceInstance, choice: PortChoice): boolean {
  const { attributes } = selected.registration;
  switch (choice.kind) {
    case 'any':
      return true;
    case 'exposed':
      return exposed === undefined || exposed.number === choice.port;
    case 'own':
      return (exposed?.number ?? attributes.port) === choice.port;
    case 'virtual':
      return virtualPortOf(attributes)?.number === choice.port;
    case 'ambiguous':
      return false;
  }
}

/** The port of the service at its virtual address; undefined: it has none. */
export function virtualPortOf({ linking, port }: ServiceAttributes): ExposedPort | undefined {
  const { vipPort, expose } = linking;
  if (vipPort !== undefined) return { ...vipPort, protocol: (expose ?? vipPort).protocol };
  return expose ?? (port > 0 ? { number: port, protocol: 'tcp' } : undefined);
}
