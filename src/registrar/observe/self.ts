/** Describes this registrar and its machine, so that registrars can tell engines with the same id apart. */
import { printName } from '../../dns/name.ts';
import type { RegistrarContext } from '../describe/context.ts';
import type { EngineInfo } from '../engine/engine.ts';
import type { Profile, RegistrarWork, Self } from '../leadership/identity.ts';

/** The registrar's machine. */
export interface Machine {
  /** Changes at each boot; `undefined` where the system has none. */
  readonly bootId: string | undefined;
  /** The release of the machine's kernel. */
  readonly kernel: string;
  readonly uptimeMs: () => number;
}

/** The facts that are constant while the registrar runs. */
export interface RegistrarRun {
  /** Unique to this run. */
  readonly runId: string;
  /** The registrar's host name, for people. */
  readonly host: string;
  /**
   * Boot id, host name and engine address: equal for all runs on this machine until its next boot; `undefined` if
   * unknown.
   */
  readonly bootKey?: string | undefined;
  /** Set if the engine is on the registrar's machine. */
  readonly machine?: Machine | undefined;
  /** The address of an engine that is reached over a network. */
  readonly endpoint?: string | undefined;
}

/** `bridgeId`: as in a `Profile`. */
export function selfOf(
  { runId, host, bootKey, machine, endpoint }: RegistrarRun,
  info: EngineInfo,
  bridgeId: string | undefined,
  context: RegistrarContext,
): Self {
  // A socket may be forwarded from another machine, whose kernel usually differs.
  const isHere = info.kernel === undefined || info.kernel === machine?.kernel;
  const local = isHere ? machine : undefined;
  const profile: Profile = {
    name: info.name || undefined,
    rootDir: info.rootDir,
    bootId: local?.bootId,
    endpoint,
    addresses: addressesOf(context),
    // Podman's bridge has the same id on every host.
    bridgeId: info.isOwnId ? bridgeId : undefined,
    work: workOf(context),
  };
  return { runId, host, bootKey, profile, uptimeMs: local?.uptimeMs() };
}

function addressesOf({ ip, hostAddresses: { v4, v6 } }: RegistrarContext): readonly string[] {
  if (ip !== undefined) return [ip];
  return [v4, v6].filter((address) => address !== undefined);
}

function workOf({
  prefix,
  zones,
  envPrefix,
  labelPrefix,
  compat,
}: RegistrarContext): RegistrarWork {
  const kind = compat.includes('registrator') ? ['registrator'] : ['dns', envPrefix, labelPrefix];
  return { prefix, zones: zones.map(printName).sort(), metadata: kind.join(' ') };
}
