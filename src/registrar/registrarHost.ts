/**
 * What an ambassador on the engine's host reads of a registrar, for as long as the registrar runs: its sessions come and
 * go with engines. Pull after each call of a listener.
 */
import type { HostContainers } from './hostContainers.ts';
import type { Consumer } from './links/consumers.ts';
import type { LocalBackend } from './links/localBackends.ts';

export class RegistrarHost {
  readonly #listeners = new Set<() => void>();
  #containers: HostContainers | undefined;

  /** The running containers with links, the oldest first; none before the engine has answered. */
  consumers(): readonly Consumer[] {
    return this.#containers?.consumers() ?? [];
  }

  /** By key of the store: how this host reaches the containers of the registrar's own records. */
  localBackends(): ReadonlyMap<string, LocalBackend> {
    return this.#containers?.localBackends() ?? new Map();
  }

  /**
   * Whether every container that ran at the start has been inspected, the store has been read, and no answer about a
   * network is awaited. Before that, consumers and local backends may be missing. Reading them asks about networks, so
   * read them first.
   */
  get isSettled(): boolean {
    return this.#containers?.isSettled === true;
  }

  /**
   * Calls the listener when consumers or local backends may have changed: for a death in the handling of its event,
   * before anything else is done about it. Returns the function that ends this. The listener must not throw.
   */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** For the registrar: another session has begun. */
  follow(containers: HostContainers): void {
    this.#containers = containers;
    this.noteChange();
  }

  /** For the registrar. */
  noteChange(): void {
    for (const listener of this.#listeners) listener();
  }
}
