import { type EngineEndpoint, resolveEndpoint } from '../docker/endpoint.ts';
import { Failure } from './failure.ts';
import type { Io } from './io.ts';

/** The engine that an option (by its name on the command line) or else the environment names; throws a `Failure`. */
export function engineEndpoint(
  dockerHost: string | undefined,
  option: string,
  { env, readFile }: Pick<Io, 'env' | 'readFile'>,
): EngineEndpoint {
  const resolved = resolveEndpoint(dockerHost, env, (path) => {
    const content = readFile(path);
    return 'text' in content ? content.text : undefined;
  });
  if (resolved.kind === 'endpoint') return resolved.endpoint;
  const { setting, reason } = resolved.mistake;
  const place = setting === '--docker-host' ? option : setting;
  throw new Failure('usage', `${place}: ${reason.replaceAll('--docker-host', option)}`);
}
