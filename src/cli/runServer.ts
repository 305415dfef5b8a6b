/** What the commands do that end in a running server: read what it was told, find its engine, serve. */

import type { FlagValue } from '../config/settings.ts';
import { type Config, readConfig } from '../config.ts';
import type { EngineEndpoint } from '../docker/endpoint.ts';
import { engineEndpoint } from './engineEndpoint.ts';
import type { Io } from './io.ts';
import { configOf } from './serverConfig.ts';

/** Serves until it is told to stop. `decisions` are for the log; throws a `Failure` when it cannot begin. */
export async function runServer(
  flags: Readonly<Record<string, FlagValue>>,
  io: Io,
  decisions: readonly string[] = [],
): Promise<number> {
  const { config, notes } = configOf(flags, io);
  const docker = registrarEndpoint(config, io);
  const { env, readFile, stateDirectory } = io;
  const readAgain = () => readConfig({ flags, env, readFile, stateDirectory });
  io.handleSignals();
  const { serve } = await import('./serve.ts');
  return serve({ config, docker, notes, decisions, readAgain }, io);
}

/** The engine whose containers the server registers, if it is to; throws a `Failure` over a setting that cannot be. */
export function registrarEndpoint({ registrar }: Config, io: Io): EngineEndpoint | undefined {
  return registrar && engineEndpoint(registrar.settings.dockerHost, '--register-docker-host', io);
}
