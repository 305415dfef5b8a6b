/**
 * What a registrar knows besides its containers: its options, the zones that it serves, the facts about its host, and
 * the engine's host name and default bridge. Sessions share it. After a change of the zones or of the facts about the
 * host, the registrar calls `EngineSession.onContext`.
 */
import { isDeepStrictEqual } from 'node:util';
import type { ConfiguredContext, HostFacts, RegistrarContext } from './describe/context.ts';
import type { Zones } from './describe/names.ts';
import type { EngineInfo } from './engine/engine.ts';
import type { Self } from './leadership/identity.ts';
import { type RegistrarRun, selfOf } from './observe/self.ts';
import { Namespace } from './reconcile/namespace.ts';

export class CurrentContext {
  readonly #run: RegistrarRun;
  readonly #hasHostName: boolean;
  #context: RegistrarContext;
  #namespace: Namespace;
  #bridgeId: string | undefined;

  /** An empty `registrator.hostName` stands for the name of the engine's host. */
  constructor(run: RegistrarRun, configured: ConfiguredContext) {
    this.#run = run;
    this.#hasHostName = configured.registrator?.hostName !== '';
    this.#context = { ...configured, hostAddresses: {}, ownNetworks: [] };
    this.#namespace = new Namespace(configured.prefix, configured.zones);
  }

  /** The second argument of `describeContainer`. */
  get forDescriptions(): RegistrarContext {
    return this.#context;
  }

  get namespace(): Namespace {
    return this.#namespace;
  }

  /** Whether these zones differ from the former ones. */
  setZones({ zones, defaultZone }: Zones): boolean {
    const before = this.#context;
    if (isDeepStrictEqual([before.zones, before.defaultZone], [zones, defaultZone])) return false;
    this.#context = { ...before, zones, defaultZone };
    this.#namespace = new Namespace(before.prefix, zones);
    return true;
  }

  setHostFacts(hostFacts: HostFacts): void {
    this.#context = { ...this.#context, ...hostFacts };
  }

  setEngineHostName(name: string): void {
    const { registrator } = this.#context;
    if (registrator === undefined || this.#hasHostName) return;
    this.#context = { ...this.#context, registrator: { ...registrator, hostName: name } };
  }

  /** Whether the default bridge is still the former one, which proves that dockerd did not restart. */
  setBridgeId(bridgeId: string | undefined): boolean {
    const isSame = bridgeId !== undefined && bridgeId === this.#bridgeId;
    this.#bridgeId = bridgeId;
    return isSame;
  }

  /** The facts that this registrar states about itself in its lock while it follows that engine. */
  selfFor(info: EngineInfo): Self {
    return selfOf(this.#run, info, this.#bridgeId, this.#context);
  }
}
