/** What a registrar knows of itself and of the machine that it is on, to tell its engine from others with the same id. */
import { printName } from '../../dns/name.ts';
import type { RegistrarContext } from '../describe/context.ts';
import type { EngineInfo } from '../engine/engine.ts';
import type { Profile, RegistrarWork, Self } from '../leadership/identity.ts';

/** The machine that the registrar runs on. */
export interface Machine {
  /** Another one after each boot; `undefined` where the system tells none. */
  readonly bootId: string | undefined;
  /** The release of its kernel. */
  readonly kernel: string;
  readonly uptimeMs: () => number;
}

/** What stays the same for one run. */
export interface RegistrarRun {
  /** Unique to this run. */
  readonly instance: string;
  /** Where it runs, for people. */
  readonly host: string;
  /** The same for every run that follows this engine from this machine, until that starts anew; undefined: not known. */
  readonly bootKey?: string | undefined;
  /** Where the engine is as well; undefined: it may be on another machine. */
  readonly machine?: Machine | undefined;
  /** The engine's address, if it is reached over a network. */
  readonly endpoint?: string | undefined;
}

/** `bridgeId`: as in a `Profile`. */
export function selfOf(
  { instance, host, bootKey: place, machine, endpoint }: RegistrarRun,
  info: EngineInfo,
  bridgeId: string | undefined,
  context: RegistrarContext,
): Self {
  // A socket may be forwarded from another machine, which has most often another kernel.
  const isHere = info.kernel === undefined || info.kernel === machine?.kernel;
  const local = isHere ? machine : undefined;
  const profile: Profile = {
    name: info.name || undefined,
    rootDir: info.rootDir,
    bootId: local?.bootId,
    endpoint,
    addresses: addressesOf(context),
    // Podman's is the same on every host.
    bridgeId: info.isOwnId ? bridgeId : undefined,
    work: workOf(context),
  };
  return { instance, host, bootKey: place, profile, uptimeMs: local?.uptimeMs() };
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
  const kind = compat === 'registrator' ? [compat] : [compat, envPrefix, labelPrefix];
  return { prefix, zones: zones.map(printName).sort(), metadata: kind.join(' ') };
}
