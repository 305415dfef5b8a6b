/**
 * Makes a dockerode without what it needs only to build images and to reach engines through SSH: gRPC, Protocol Buffers
 * and an SSH client, which take more memory than all of our registrar. Our engines have a Unix socket or a TCP port, and
 * are only read.
 */
import type { Agent as HttpAgent } from 'node:http';
import { createRequire } from 'node:module';
import type Docker from 'dockerode';
import type { EngineEndpoint } from './endpoint.ts';

/** The files that load those packages, each with its package. While dockerode is loaded, it does not use their exports. */
const LEFT_OUT = [
  { from: 'dockerode', path: './session.js' },
  { from: 'docker-modem', path: './ssh.js' },
] as const;

let loaded: typeof Docker | undefined;

/**
 * Hides DOCKER_* from dockerode's constructor, which would prefer them to its options and throw over wrong ones.
 * `endpoint` already takes these variables into account.
 */
export function createDocker(endpoint: EngineEndpoint, agent: HttpAgent): Docker {
  const hidden = Object.entries(process.env).filter(([name]) => name.startsWith('DOCKER_'));
  for (const [name] of hidden) delete process.env[name];
  try {
    loaded ??= load();
    return new loaded({
      ...dockerOptions(endpoint),
      agent,
    } as Docker.DockerOptions);
  } finally {
    Object.assign(process.env, Object.fromEntries(hidden));
  }
}

function dockerOptions(endpoint: EngineEndpoint): Docker.DockerOptions {
  if (endpoint.kind === 'unix') return { socketPath: endpoint.path };
  const { host, port, tls } = endpoint;
  const protocol = tls === undefined ? 'http' : 'https';
  return {
    // With a scheme, because docker-modem could mistake the start of an IPv6 address for a scheme.
    host: `${protocol}://${host.includes(':') ? `[${host}]` : host}`,
    port,
    protocol,
    ca: tls?.ca,
    cert: tls?.client?.cert,
    key: tls?.client?.key,
  };
}

function load(): typeof Docker {
  const requireHere = createRequire(import.meta.url);
  const dockerode = requireHere.resolve('dockerode');
  const modem = createRequire(dockerode).resolve('docker-modem');
  const entries = { dockerode, 'docker-modem': modem };
  for (const { from, path } of LEFT_OUT) leaveOut(createRequire(entries[from]).resolve(path));
  return requireHere('dockerode');
}

/** From now on `require` of the file gives an empty module. */
function leaveOut(file: string): void {
  const { cache } = createRequire(file);
  if (cache[file] !== undefined) return;
  cache[file] = { exports: {}, id: file, filename: file, loaded: true } as NodeModule;
}
