/** The parts of a name that a container has without being told: from compose, swarm, registrator's metadata, its image. */
import type { Container } from './container.ts';
import { shortId } from './life.ts';
import { findSetting, type Settings } from './metadata.ts';
import { slug } from './names.ts';

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
        shortId(container.id)),
    environment: label(`${COMPOSE}project`) ?? label(STACK),
    instance: derivedInstance(container),
  };
}

/**
 * The compose project or swarm stack that a container belongs to, as one label. The setting PROJECT counts only for one
 * that belongs to neither, so that no container leaves the project that it was started in.
 */
export function projectOf(container: Container, settings: Settings): string | undefined {
  const stated = slug(findSetting(settings, 'PROJECT')?.value ?? '') || undefined;
  return derivedParts(container).environment ?? stated;
}

function derivedInstance({ labels, id }: Container): Instance {
  const number = labels.get(`${COMPOSE}container-number`) ?? '';
  if (/^[1-9][0-9]{0,8}$/.test(number)) return { kind: 'wish', number: Number(number) };
  return { kind: 'unique', label: slug(number) || slug(swarmSlot(labels)) || shortId(id) };
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
