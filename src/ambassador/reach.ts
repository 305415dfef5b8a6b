/**
 * How this host reaches backends. A container on this host is reached at its own address: its published port may hang,
 * or hide the consumer's address, from its own host.
 */
import type { LocalBackend } from '../registrar/links/localBackends.ts';
import type { Backend } from './route.ts';

/** A backend as this host reaches it. */
export interface ReachedBackend extends Backend {
  /**
   * The provider did not publish the port to other networks, so only consumers on the container's own network may reach
   * it.
   */
  readonly isPrivate?: boolean;
}

export type LocalBackendOf = (key: string) => LocalBackend | undefined;

/** The backends without those whose container has ended. */
export function reachedFromHere(
  backends: readonly Backend[],
  localOf: LocalBackendOf,
): readonly ReachedBackend[] {
  return backends.flatMap((backend) => {
    const local = backend.key === undefined ? undefined : localOf(backend.key);
    if (local === undefined) return [backend];
    return local.kind === 'ended' ? [] : [reachedLocally(backend, local)];
  });
}

function reachedLocally(
  backend: Backend,
  { mode, port, addresses, publishedAt }: Extract<LocalBackend, { kind: 'running' }>,
): ReachedBackend {
  if (mode === 'internal') return { ...backend, isPrivate: true };
  const family = backend.address.includes(':') ? 6 : 4;
  const own = addresses.find((each) => each.family === family && each.isBridge === true);
  if (own === undefined || port === undefined) return backend;
  const reached = { ...backend, address: own.address, port: port.number };
  return publishedAt.every(isLoopbackAddress) ? { ...reached, isPrivate: true } : reached;
}

/** True also for a port that is not published at all, whose list of addresses is empty. */
function isLoopbackAddress(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}
