/**
 * Checks the names that containers ask for, and derives names from Compose, swarm and images. A checked name is folded,
 * lies strictly below one of the zones, and outside the names that the server answers itself.
 */
import { isSubdomainOf, MAX_LABEL_OCTETS, type Name, nameOctets } from '../../dns/name.ts';
import { shortIdOf } from '../engine/containerId.ts';
import type { Container } from './container.ts';
import type { RegistrarContext } from './context.ts';
import { shown } from './description.ts';
import { type ContainerSettings, findSetting } from './metadata.ts';

/** The limit for one container with all its ports. */
export const MAX_NAMES = 64;
/** RFC 1035 §2.3.4: 255 octets of wire format leave this much text. */
const MAX_NAME_CHARACTERS = 253;

export interface Zones {
  readonly zones: readonly Name[];
  readonly defaultZone: Name;
}

export type CheckedName =
  | { readonly kind: 'name'; readonly name: Name }
  | { readonly kind: 'refused'; readonly reason: string };

/** Whether containers may have stored wildcards, and the prefix of option names in messages. */
export type WildcardRule = Pick<RegistrarContext, 'wildcards' | 'optionPrefix'>;

/** The first label of a stored wildcard. */
const ASTERISK = '*';

export function beginsWithAsterisk([first]: Name): boolean {
  return first === ASTERISK;
}

/**
 * Checks a name that a container asks for, which may be a stored wildcard if the rule allows it. See `checkName`.
 */
export function checkOwnName(
  text: string,
  zones: Zones,
  { wildcards, optionPrefix }: WildcardRule,
): CheckedName {
  if (!text.startsWith(`${ASTERISK}.`)) return checkName(text, zones);
  if (!wildcards)
    return refused(
      `is a wildcard: choose another name, or allow it with --${optionPrefix}wildcards`,
    );
  // Any other label has the same zone appended.
  const below = checkName(`x${text.slice(ASTERISK.length)}`, zones);
  if (below.kind === 'refused') return below;
  return { kind: 'name', name: [ASTERISK, ...below.name.slice(1)] };
}

/**
 * Checks a name from metadata. A name outside all zones gets the default zone appended, unless it is complete: it has a
 * final dot, or a top label such as `com` or that of one of the zones.
 */
export function checkName(text: string, zones: Zones): CheckedName {
  const isAbsolute = text.endsWith('.');
  const written = (isAbsolute ? text.slice(0, -1) : text).toLowerCase();
  if (written.length > MAX_NAME_CHARACTERS)
    return refused(`is longer than ${MAX_NAME_CHARACTERS} characters: shorten it`);
  const labels = written.split('.');
  const isRelative = !isInZone(labels, zones) && !isAbsolute && !looksComplete(labels, zones);
  const name = isRelative ? [...labels, ...zones.defaultZone] : labels;
  // The zone's own labels are not checked, because the operator chose them.
  for (const label of name.slice(0, name.length - zoneDepth(name, zones))) {
    const fault = faultOfLabel(label);
    if (fault !== undefined) return refused(fault);
  }
  return checkFullName(name, zones);
}

/** Checks a complete name, for example after a change to a label of a checked one. */
export function checkFullName(name: Name, zones: Zones): CheckedName {
  const tooLong = name.find((label) => label.length > MAX_LABEL_OCTETS);
  if (tooLong !== undefined)
    return refused(`has a label longer than ${MAX_LABEL_OCTETS} octets: shorten it`);
  if (nameOctets(name) - 2 > MAX_NAME_CHARACTERS)
    return refused(`is longer than ${MAX_NAME_CHARACTERS} characters: shorten it`);
  if (name.at(-1) === 'config')
    return refused(
      'is under config, which holds the configuration of servers: choose another name',
    );
  if (!isInZone(name, zones)) {
    const listed = zones.zones.map((zone) => zone.join('.')).join(', ');
    return refused(`is in none of the zones (${shown(listed)}): choose a name in one of them`);
  }
  if (zones.zones.some((zone) => zone.length === name.length && isSubdomainOf(name, zone)))
    return refused('is a zone itself: put a label in front');
  if (zones.zones.some((zone) => isSubdomainOf(name, ['dns', ...zone])))
    return refused('is under dns.<zone>, which the server answers itself: choose another name');
  return { kind: 'name', name };
}

/** Appends a suffix to the service's label: `1.rails...` becomes `1.rails-9090...`. */
export function siblingName(name: Name, suffix: string, zones: Zones): CheckedName {
  if (beginsWithAsterisk(name))
    return refused('is a wildcard, which only one port can have: set it for that port alone');
  const at = beginsWithNumber(name, zones) ? 1 : 0;
  const sibling = name.map((label, i) => (i === at ? label + suffix : label));
  return checkFullName(sibling, zones);
}

/**
 * Whether the first label is the number of an instance, as in `1.rails.skydns.local`, and not the only label below the
 * zone.
 */
export function beginsWithNumber(name: Name, zones: Pick<Zones, 'zones'>): boolean {
  return /^[0-9]+$/.test(name[0] ?? '') && name.length - zoneDepth(name, zones) > 1;
}

/** Turns any text into one label: characters other than letters and digits become hyphens. May return an empty text. */
export function slug(text: string, length: number = MAX_LABEL_OCTETS): string {
  return text
    .slice(0, 1024)
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-/, '')
    .slice(0, length)
    .replace(/-$/, '');
}

/**
 * Why a label is refused. In queries to SkyDNS `any` and `*` match every label, so no client could find such a name.
 */
function faultOfLabel(label: string): string | undefined {
  if (label === '*' || label === 'any')
    return `has the label ${label}, which is a wildcard: choose another one`;
  if (label === '') return 'has an empty label: remove the extra dot';
  if (label.length > MAX_LABEL_OCTETS)
    return `has a label longer than ${MAX_LABEL_OCTETS} octets: shorten it`;
  // RFC 1123 §2.1, and underscores: host names exclude them (RFC 952), but DNS allows them (RFC 2181 §11) and Docker's
  // own names contain them.
  if (!/^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?$/.test(label))
    return `has the label "${shown(label, 40)}": use letters, digits and underscores, and hyphens between them`;
  return undefined;
}

/** The number of labels of the name's zone; 0 if it is in none. */
export function zoneDepth(name: Name, { zones }: Pick<Zones, 'zones'>): number {
  const depths = zones.filter((zone) => isSubdomainOf(name, zone)).map((zone) => zone.length);
  return Math.max(0, ...depths);
}

function isInZone(name: Name, { zones }: Zones): boolean {
  return zones.some((zone) => isSubdomainOf(name, zone));
}

/** Top labels that make a name complete. Every label of two letters does too, because countries have those. */
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

/** The parts of a name that come from Compose, swarm, registrator's metadata or the image. */
export interface DerivedParts {
  readonly service: string;
  /** The Compose project or swarm stack. */
  readonly environment: string | undefined;
  readonly instance: Instance;
}

/**
 * Distinguishes containers of one service. Swarm's slots and the ids of nodes and containers are unique. Compose's
 * number is only preferred, because Compose numbers the containers of each host separately.
 */
export type Instance =
  | { readonly kind: 'unique'; readonly label: string }
  | { readonly kind: 'preferred'; readonly number: number };

const COMPOSE = 'com.docker.compose.';
const SWARM = 'com.docker.swarm.';
const STACK = 'com.docker.stack.namespace';

/** Each part is one label. The service is never empty if the container has an id. Never throws. */
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
 * The container's Compose project or swarm stack as one label. The setting PROJECT counts only without both, so that no
 * container can leave the project in which it was started.
 */
export function projectOf(container: Container, settings: ContainerSettings): string | undefined {
  const stated = slug(findSetting(settings, 'PROJECT')?.value ?? '') || undefined;
  return derivedParts(container).environment ?? stated;
}

function derivedInstance({ labels, id }: Container): Instance {
  const number = labels.get(`${COMPOSE}container-number`) ?? '';
  if (/^[1-9][0-9]{0,8}$/.test(number)) return { kind: 'preferred', number: Number(number) };
  return { kind: 'unique', label: slug(number) || slug(swarmSlot(labels)) || shortIdOf(id) };
}

/** Whether swarm runs the container. If so, a signal always ends it, and swarm's routing mesh may publish its ports. */
export function isSwarmTask({ labels }: Container): boolean {
  return labels.has(`${SWARM}task.id`) || labels.has(`${SWARM}service.id`);
}

/**
 * Whether `docker compose run` started the container. Such a container has its service's labels, but does not serve.
 */
export function isOneOff({ labels }: Container): boolean {
  return labels.get(`${COMPOSE}oneoff`)?.toLowerCase() === 'true';
}

/** Returns `rails` for `registry:5000/team/rails:4@sha256:...`, and an empty text for an image without a name. */
export function imageBase(image: string): string {
  if (/^(?:sha256:)?[0-9a-f]{64}$/.test(image)) return '';
  const path = image.slice(0, 1024).replace(/@.*$/s, '');
  return path.slice(path.lastIndexOf('/') + 1).replace(/:.*$/s, '');
}

/** The service's name without its stack: swarm calls a stack's service `stack_service`. */
function swarmService(labels: Container['labels']): string {
  const name = labels.get(`${SWARM}service.name`) ?? '';
  const stack = labels.get(STACK);
  return stack !== undefined && name.startsWith(`${stack}_`) ? name.slice(stack.length + 1) : name;
}

/** The task `web.3.x1y2` is in slot 3. The slot of a global service is the node's id. */
function swarmSlot(labels: Container['labels']): string {
  const service = labels.get(`${SWARM}service.name`);
  const task = labels.get(`${SWARM}task.name`) ?? '';
  if (service === undefined || !task.startsWith(`${service}.`)) return '';
  return task.slice(service.length + 1).split('.', 1)[0] ?? '';
}

/** A name that a container asks for. */
export interface RequestedName {
  readonly name: Name;
  /** `auto`: the number of the instance goes before the name when the number is claimed. */
  readonly instance: 'named' | 'auto';
  /** For `auto`: the number to claim if it is free. */
  readonly preferredNumber?: number;
  readonly hintIfTaken?: string;
}
