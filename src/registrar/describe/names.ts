/**
 * The names that a container may have. A name is split, folded and checked label by label before anything is made of
 * it: what comes out lies strictly below one of the zones, and outside of what the server keeps for itself there.
 */
import { isSubdomainOf, MAX_LABEL_OCTETS, type Name, nameOctets } from '../../dns/name.ts';
import { shortIdOf } from '../engine/containerId.ts';
import type { Container } from './container.ts';
import { shown } from './description.ts';
import { type ContainerSettings, findSetting } from './metadata.ts';

/** On one container, all ports together. */
export const MAX_NAMES = 64;
/** RFC 1035 §2.3.4: what 255 octets of wire format leave for text. */
const MAX_NAME_CHARACTERS = 253;

export interface Zones {
  readonly zones: readonly Name[];
  readonly defaultZone: Name;
}

export type CheckedName =
  | { readonly kind: 'name'; readonly name: Name }
  | { readonly kind: 'refused'; readonly reason: string };

/**
 * A name as metadata has it. One that ends in none of the zones gets the default zone, unless it says that it is
 * complete: by a final dot, or by a top label such as `com` or that of one of the zones.
 */
export function checkName(text: string, zones: Zones): CheckedName {
  const isAbsolute = text.endsWith('.');
  const written = (isAbsolute ? text.slice(0, -1) : text).toLowerCase();
  if (written.length > MAX_NAME_CHARACTERS)
    return refused(`is longer than ${MAX_NAME_CHARACTERS} characters`);
  const labels = written.split('.');
  const isRelative = !isInZone(labels, zones) && !isAbsolute && !looksComplete(labels, zones);
  const name = isRelative ? [...labels, ...zones.defaultZone] : labels;
  // The zone's own labels are the operator's business.
  for (const label of name.slice(0, name.length - zoneDepth(name, zones))) {
    const fault = faultOfLabel(label);
    if (fault !== undefined) return refused(fault);
  }
  return checkFullName(name, zones);
}

/** A name that already is one; for those made of a checked name by a change to a label. */
export function checkFullName(name: Name, zones: Zones): CheckedName {
  const tooLong = name.find((label) => label.length > MAX_LABEL_OCTETS);
  if (tooLong !== undefined) return refused(`has a label above ${MAX_LABEL_OCTETS} octets`);
  if (nameOctets(name) - 2 > MAX_NAME_CHARACTERS)
    return refused(`is longer than ${MAX_NAME_CHARACTERS} characters`);
  if (name.at(-1) === 'config') return refused('is under config, where servers are configured');
  if (!isInZone(name, zones)) {
    const listed = zones.zones.map((zone) => zone.join('.')).join(', ');
    return refused(`is in none of the zones: ${shown(listed)}`);
  }
  if (zones.zones.some((zone) => zone.length === name.length && isSubdomainOf(name, zone)))
    return refused('is a zone itself');
  if (zones.zones.some((zone) => isSubdomainOf(name, ['dns', ...zone])))
    return refused('is under dns.<zone>, which the server keeps for itself');
  return { kind: 'name', name };
}

/** The name with a suffix on the label that names the service: `1.rails...` becomes `1.rails-9090...`. */
export function siblingName(name: Name, suffix: string, zones: Zones): CheckedName {
  // A number in front is the instance's, as in the seed article's 1.rails.production.east.
  const hasInstance = /^[0-9]+$/.test(name[0] ?? '') && name.length - zoneDepth(name, zones) > 1;
  const at = hasInstance ? 1 : 0;
  return checkFullName(withSuffix(name, at, suffix), zones);
}

/** The name with a suffix on the label at an index. */
function withSuffix(name: Name, at: number, suffix: string): Name {
  return name.map((label, i) => (i === at ? label + suffix : label));
}

/** Any text as one label: what is no letter or digit becomes a hyphen. `` when nothing is left. */
export function slug(text: string, length: number = MAX_LABEL_OCTETS): string {
  return text
    .slice(0, 1024)
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-/, '')
    .slice(0, length)
    .replace(/-$/, '');
}

/** `any` and `*` match every label when they are asked for (SkyDNS), so nothing can be found under them. */
function faultOfLabel(label: string): string | undefined {
  if (label === '*' || label === 'any') return `has the label ${label}, which is a wildcard`;
  if (label === '') return 'has an empty label';
  if (label.length > MAX_LABEL_OCTETS) return `has a label above ${MAX_LABEL_OCTETS} octets`;
  // RFC 1123 §2.1, and underscores: no host name may have them (RFC 952), but DNS carries them (RFC 2181 §11), Docker's
  // own names have them, and so may names that are set by hand.
  if (!/^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?$/.test(label))
    return `has the label "${shown(label, 40)}", which is not letters, digits, hyphens and underscores`;
  return undefined;
}

/** How many labels the zone that the name is in has; 0 when it is in none. */
export function zoneDepth(name: Name, { zones }: Pick<Zones, 'zones'>): number {
  const depths = zones.filter((zone) => isSubdomainOf(name, zone)).map((zone) => zone.length);
  return Math.max(0, ...depths);
}

function isInZone(name: Name, { zones }: Zones): boolean {
  return zones.some((zone) => isSubdomainOf(name, zone));
}

/** Top labels of names that nobody writes relative to a zone; and any of two letters, as a country's are. */
const TOP_LABELS = new Set([
  ...['com', 'net', 'org', 'edu', 'gov', 'mil', 'arpa'],
  // RFC 6761, RFC 6762, RFC 7686, and ICANN's reservation of 2024.
  ...['localhost', 'invalid', 'example', 'local', 'onion', 'internal', 'config'],
]);

function looksComplete(labels: readonly string[], { zones }: Zones): boolean {
  const top = labels.at(-1) as string;
  if (labels.length < 2) return top === 'config';
  return /^[a-z]{2}$/.test(top) || TOP_LABELS.has(top) || zones.some((zone) => zone.at(-1) === top);
}

function refused(reason: string): CheckedName {
  return { kind: 'refused', reason };
}

/** The parts of a name that a container has without being told: from compose, swarm, registrator's metadata, its image. */

export interface DerivedParts {
  readonly service: string;
  /** The compose project or swarm stack, if it belongs to one. */
  readonly environment: string | undefined;
  readonly instance: Instance;
}

/**
 * What tells containers of one service apart. Swarm's slots and the ids of nodes and containers are unique where they
 * come from. Compose counts on each host for itself: its number is only a wish.
 */
export type Instance =
  | { readonly kind: 'unique'; readonly label: string }
  | { readonly kind: 'wish'; readonly number: number };

const COMPOSE = 'com.docker.compose.';
const SWARM = 'com.docker.swarm.';
const STACK = 'com.docker.stack.namespace';

/** Each is one label; never throws, never empty (with an id). */
export function derivedParts(container: Container): DerivedParts {
  const { labels } = container;
  const label = (name: string) => slug(labels.get(name) ?? '') || undefined;
  const serviceName = container.labels.get('SERVICE_NAME') ?? container.env.get('SERVICE_NAME');
  return {
    service:
      label(`${COMPOSE}service`) ??
      (slug(swarmService(labels)) || undefined) ??
      (slug(serviceName ?? '') ||
        slug(imageBase(container.image)) ||
        slug(container.name) ||
        shortIdOf(container.id)),
    environment: label(`${COMPOSE}project`) ?? label(STACK),
    instance: derivedInstance(container),
  };
}

/**
 * The compose project or swarm stack that a container belongs to, as one label. The setting PROJECT counts only for one
 * that belongs to neither, so that no container leaves the project that it was started in.
 */
export function projectOf(container: Container, settings: ContainerSettings): string | undefined {
  const stated = slug(findSetting(settings, 'PROJECT')?.value ?? '') || undefined;
  return derivedParts(container).environment ?? stated;
}

function derivedInstance({ labels, id }: Container): Instance {
  const number = labels.get(`${COMPOSE}container-number`) ?? '';
  if (/^[1-9][0-9]{0,8}$/.test(number)) return { kind: 'wish', number: Number(number) };
  return { kind: 'unique', label: slug(number) || slug(swarmSlot(labels)) || shortIdOf(id) };
}

/** Whether swarm runs it: then its signals mean its end, and its ports may be published elsewhere. */
export function isSwarmTask({ labels }: Container): boolean {
  return labels.has(`${SWARM}task.id`) || labels.has(`${SWARM}service.id`);
}

/** `docker compose run`: shares its service's labels, but not its work. */
export function isOneOff({ labels }: Container): boolean {
  return labels.get(`${COMPOSE}oneoff`)?.toLowerCase() === 'true';
}

/** `registry:5000/team/rails:4@sha256:...` is `rails`; `` for an image that is only known by its id. */
export function imageBase(image: string): string {
  if (/^(?:sha256:)?[0-9a-f]{64}$/.test(image)) return '';
  const path = image.slice(0, 1024).replace(/@.*$/s, '');
  return path.slice(path.lastIndexOf('/') + 1).replace(/:.*$/s, '');
}

/** A stack's services are called `stack_service`. */
function swarmService(labels: Container['labels']): string {
  const name = labels.get(`${SWARM}service.name`) ?? '';
  const stack = labels.get(STACK);
  return stack !== undefined && name.startsWith(`${stack}_`) ? name.slice(stack.length + 1) : name;
}

/** The task `web.3.x1y2` is in slot 3; of a global service the slot is the node's id. */
function swarmSlot(labels: Container['labels']): string {
  const service = labels.get(`${SWARM}service.name`);
  const task = labels.get(`${SWARM}task.name`) ?? '';
  if (service === undefined || !task.startsWith(`${service}.`)) return '';
  return task.slice(service.length + 1).split('.', 1)[0] ?? '';
}
