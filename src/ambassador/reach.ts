/**
 * How this host reaches backends. A container on this host is reached at its own address: its published port may hang,
 * or hide the consumer's address, from its own host.
 */
import { familyOfAddress } from '../dns/address.ts';
import type { LocalBackend } from '../registrar/links/localBackends.ts';
import type { Backend } from './route.ts';

export type LocalBackendOf = (key: string) => LocalBackend | undefined;

/** The backends without those whose container has ended. */
export function reachedFromHere(
  backends: readonly Backend[],
  localOf: LocalBackendOf,
): readonly Backend[] {
  return backends.flatMap((backend) => {
    const local = backend.key === undefined ? undefined : localOf(backend.key);
    if (local === undefined) return [backend];
    return local.kind === 'ended' ? [] : [reachedLocally(backend, local)];
  });
}

/**
 * Only a port that Docker published beyond this host may be reached from other networks. In internal mode the record
 * already has the container's own address, for those that share its network.
 */
function reachedLocally(
  backend: Backend,
  { mode, port, addresses, publishedAt }: Extract<LocalBackend, { kind: 'running' }>,
): Backend {
  if (mode === 'internal') return { ...backend, access: 'private' };
  const family = familyOfAddress(backend.address);
  const own = addresses.find((each) => each.family === family && each.isBridge === true);
  if (own === undefined || port === undefined) return backend;
  const access = publishedAt.every(isLoopbackAddress) ? 'private' : 'published';
  return { ...backend, address: own.address, port: port.number, access };
}

/** True also for a port that is not published at all, whose list of addresses is empty. */
function isLoopbackAddress(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}

/** The own addresses of running backends on networks whose packets this host forwards. */
export function ownAddresses(backends: Iterable<LocalBackend>): readonly string[] {
  const addresses = [...backends].flatMap((backend) =>
    backend.kind === 'ended' ? [] : backend.addresses.filter(({ isBridge }) => isBridge === true),
  );
  return [...new Set(addresses.map(({ address }) => address))];
}

/** The own addresses of the backends that have ended since `former`. Both by the key of their record. */
export function deadAddresses(
  former: ReadonlyMap<string, LocalBackend>,
  now: ReadonlyMap<string, LocalBackend>,
): readonly string[] {
  const dead = [...former].flatMap(([key, backend]) =>
    now.get(key)?.kind === 'ended' ? [backend] : [],
  );
  return ownAddresses(dead);
}
