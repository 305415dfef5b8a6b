/** Makes the keys of registrator's services: DNS-safe keys, or raw keys as registrator wrote them. */
import { foldName, type Name } from '../../dns/name.ts';
import { keyOfName, nameOfKey } from '../../service/key.ts';
import type { Container, Port } from '../describe/container.ts';
import type { RegistrarContext } from '../describe/context.ts';
import { checkFullName, checkName, slug } from '../describe/names.ts';
import { shortIdOf } from '../engine/containerId.ts';

export interface ServiceKey {
  readonly kind: 'key';
  readonly key: string;
  /** The owner name of the service. */
  readonly host: string;
}

export type ServiceKeyResult = ServiceKey | { readonly kind: 'refused'; readonly reason: string };

export interface ServiceIdentity {
  readonly container: Container;
  readonly port: Port;
  readonly name: string;
  /** SERVICE_ID, which replaces the whole id. */
  readonly id: string | undefined;
  readonly idSuffix: string;
}

const MAX_LABEL = 63;

export function serviceKey(identity: ServiceIdentity, context: RegistrarContext): ServiceKeyResult {
  return context.registrator?.rawIds === true
    ? rawKey(identity, context)
    : safeKey(identity, context);
}

/** `node1-web-80.nginx.skydns.local`: every part as labels of letters, digits and hyphens. */
function safeKey(identity: ServiceIdentity, context: RegistrarContext): ServiceKeyResult {
  const name = identity.name
    .slice(0, 1024)
    .split('.')
    .map((label) => slug(label))
    .filter((label) => label !== '')
    .join('.');
  if (name === '') return refused('is not a service name: set SERVICE_NAME');
  const zone = context.defaultZone.join('.');
  const checked = checkName(`${safeId(identity, context)}.${name}.${zone}.`, context);
  return checked.kind === 'name' ? keyAt(checked.name, context) : checked;
}

/** The readable id. An id that is too long is shortened, and contains the container's id to stay unique. */
function safeId(
  { container, port, id, idSuffix }: ServiceIdentity,
  { registrator }: RegistrarContext,
): string {
  const readable =
    id === undefined ? `${slug(registrator?.hostName ?? '')}-${slug(container.name)}` : slug(id);
  const tail = `${id === undefined ? portTail(port, '-') : ''}${idSuffix}`;
  const label = `${readable.replace(/^-/, '')}${tail}`.replace(/^-/, '');
  if (label.length <= MAX_LABEL) return label;
  const own = idSuffix.includes(shortIdOf(container.id)) ? '' : `-${shortIdOf(container.id)}`;
  return `${slug(readable, MAX_LABEL - own.length - tail.length)}${own}${tail}`;
}

/** `host:web.1:53:udp`. The server splits a component at its dots. */
function rawKey(identity: ServiceIdentity, context: RegistrarContext): ServiceKeyResult {
  const { container, port, name, id, idSuffix } = identity;
  const host = context.registrator?.hostName ?? '';
  const whole = `${id ?? `${host}:${container.name}${portTail(port, ':')}`}${idSuffix}`;
  const bad = [name, whole].find((component) => !/^[!-.0-~]{1,253}$/.test(component));
  if (bad !== undefined)
    return refused('cannot be in a key: use at most 253 printable ASCII characters without /');
  const zoneKey = keyOfName(context.defaultZone, context.prefix);
  const key = `${zoneKey}/${name}/${whole}`;
  const named = nameOfKey(key, context.prefix);
  if (zoneKey === undefined || named.kind !== 'name')
    return refused('is not a domain name: choose another name');
  if (named.owner.some((label) => label === '*' || label === 'any'))
    return refused('has a label that is a wildcard: choose another one');
  const checked = checkFullName(foldName(named.owner), context);
  return checked.kind === 'name' ? { kind: 'key', key, host: named.owner.join('.') } : checked;
}

function portTail({ number, protocol }: Port, separator: string): string {
  return `${separator}${number}${protocol === 'udp' ? `${separator}udp` : ''}`;
}

function keyAt(name: Name, { prefix }: RegistrarContext): ServiceKeyResult {
  const key = keyOfName(name, prefix);
  return key === undefined
    ? refused('cannot be a key: choose another name')
    : { kind: 'key', key, host: name.join('.') };
}

function refused(reason: string): ServiceKeyResult {
  return { kind: 'refused', reason };
}
