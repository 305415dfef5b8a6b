/**
 * The registrar in a server. It uses the server's store, the watch of the server's mirror and, without zones of its own,
 * the server's domains.
 */
import type { Config } from '../../config/config.ts';
import type { RegistrarSettings } from '../../config/registrarSettings.ts';
import type { Name } from '../../dns/name.ts';
import type { Log } from '../../observability/log.ts';
import type { ConfiguredContext } from '../../registrar/describe/context.ts';
import type { EngineEndpoint } from '../../registrar/engine/endpoint.ts';
import type { RegistrarHost } from '../../registrar/registrarHost.ts';
import { printReason, type RegistrarStatus } from '../../registrar/status.ts';
import { type Exchange, type HttpReply, jsonReply } from '../../server/http/exchange/exchange.ts';
import { keyPrefix } from '../../service/key.ts';
import type { Mirror } from '../../store/mirror.ts';
import type { LeaseStore } from '../../store/store.ts';
import { registrarContextOf, registratorLine } from './registrarConfig.ts';
import { registrarLog } from './registrarLog.ts';
import { REPORT_PATH, type VirtualStates, withVirtualStates } from './registrarReport.ts';
import type { RunningRegistrar } from './runningRegistrar.ts';

/** The server's store, and its mirror of all names. */
export interface FollowedStore {
  readonly store: LeaseStore;
  readonly mirror: Mirror;
}

export class ServerRegistrar {
  readonly #config: Config;
  readonly #endpoint: EngineEndpoint;
  readonly #store: LeaseStore;
  readonly #mirror: Mirror;
  readonly #log: Log;
  readonly #onSocketReplaced: () => void;
  /** Loaded on demand, because dockerode is large. */
  readonly #module = import('./runningRegistrar.ts');
  #domains: readonly Name[];
  #virtualStates: VirtualStates = () => undefined;
  #running: RunningRegistrar | undefined;
  #isClosed = false;

  constructor(
    config: Config,
    endpoint: EngineEndpoint,
    { store, mirror }: FollowedStore,
    log: Log,
    onSocketReplaced: () => void,
  ) {
    this.#config = config;
    this.#endpoint = endpoint;
    this.#store = store;
    this.#mirror = mirror;
    this.#log = log;
    this.#onSocketReplaced = onSocketReplaced;
    this.#domains = config.domains;
  }

  /** Call it after the store has been read, because the configuration in the store may change the server's domains. */
  async start(domains: readonly Name[]): Promise<void> {
    this.#domains = domains;
    const { startRegistrar } = await this.#module;
    const settings = this.#settings();
    if (this.#isClosed || settings === undefined) return;
    this.#running = startRegistrar({
      endpoint: this.#endpoint,
      store: this.#store,
      mirror: this.#mirror,
      settings,
      context: this.#context(settings),
      onEvent: registrarLog(this.#log, () => performance.now()),
      onSocketReplaced: this.#onSocketReplaced,
    });
  }

  /** Call it when the server's domains have changed. */
  setDomains(domains: readonly Name[]): void {
    this.#domains = domains;
    const settings = this.#settings();
    if (settings !== undefined) this.#running?.setZones(this.#context(settings));
  }

  /** Why the registrar is not ready; without reasons about the store, which the server reports itself. */
  readiness(): readonly string[] {
    if (this.#running === undefined) return ['registrar: waits for the store'];
    return this.#running
      .readiness()
      .filter(({ about }) => about !== 'store')
      .map((reason) => `registrar: ${printReason(reason)}`);
  }

  /** Problems that do not prevent readiness. */
  warnings(): readonly string[] {
    return (this.#running?.warnings() ?? []).map((warning) => `registrar: ${warning}`);
  }

  /** What an ambassador reads of it; undefined until the registrar has started. */
  host(): RegistrarHost | undefined {
    return this.#running?.host;
  }

  /** `undefined` until the store has been read. */
  status(): RegistrarStatus | undefined {
    return this.#running?.status();
  }

  /** Serves the report at its path; `undefined` for any other path. */
  page({ path }: Exchange): HttpReply | undefined {
    if (path !== REPORT_PATH) return undefined;
    if (this.#running === undefined)
      return jsonReply(503, { reason: 'the registrar waits for the store' });
    return jsonReply(200, withVirtualStates(this.#running.report(), this.#virtualStates));
  }

  /** Takes what the report says about virtual addresses from an ambassador. */
  explainVirtualAddresses(states: VirtualStates): void {
    this.#virtualStates = states;
  }

  async close(lingerMs: number): Promise<void> {
    this.#isClosed = true;
    await this.#running?.close(lingerMs);
  }

  #context(settings: RegistrarSettings): ConfiguredContext {
    const prefix = keyPrefix(this.#config.pathPrefix);
    // Consul's names of nodes lead to the hosts' names.
    const { node = this.#config.consulDomain !== undefined } = settings;
    return registrarContextOf(
      { ...settings, node },
      {
        prefix,
        domains: this.#domains,
        optionPrefix: 'register-',
      },
    );
  }

  #settings(): RegistrarSettings | undefined {
    const { registrar } = this.#config;
    if (!registrar?.settings.compat.includes('registrator')) return registrar?.settings;
    const line = registratorLine(registrar, []);
    return line.kind === 'line' ? line.settings : undefined;
  }
}
