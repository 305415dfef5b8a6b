/** Runs the unchanged compose.yaml on a test's dockerd, whose socket is not at the usual path. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Dockerd } from './dockerd.ts';
import { PROJECT } from './standIns.ts';

const TIMEOUT_MS = 240_000;
const SERVICES_ON_DOCKER = ['dockerproxy', 'embedded', 'linking'];
const NAME = 'soradns';

export interface ComposeStack {
  /** Runs compose; returns its output. */
  compose(...args: readonly string[]): Promise<string>;
  /** Id of the service's container, running or not. */
  container(service: string): Promise<string>;
}

export interface ComposeStackSetup {
  /** A folder for the override file. */
  readonly folder: string;
  /** The folder of compose.yaml; default: the repository. */
  readonly project?: string;
  /** The compose command; default: this machine's docker-compose. */
  readonly program?: readonly [string, ...string[]];
}

export function composeStack(dockerd: Dockerd, setup: ComposeStackSetup): ComposeStack {
  const { folder, project = PROJECT, program = ['docker-compose'] as const } = setup;
  const volumes = [`${dirname(dockerd.socket)}:/host/run:ro`];
  const services = Object.fromEntries(SERVICES_ON_DOCKER.map((name) => [name, { volumes }]));
  const override = join(folder, 'socket.yaml');
  writeFileSync(override, JSON.stringify({ services }));
  const files = ['--file', join(project, 'compose.yaml'), '--file', override];
  const settings = { DOCKER_HOST: dockerd.host, DOCKER_BUILDKIT: '0', COMPOSE_PROJECT_NAME: NAME };
  const options = { env: { ...process.env, ...settings }, timeout: TIMEOUT_MS };
  const compose = async (...args: readonly string[]): Promise<string> => {
    const [command, ...fixed] = program;
    const line = [...fixed, ...files, ...args];
    const { stdout } = await promisify(execFile)(command, line, options);
    return stdout.trim();
  };
  return { compose, container: (service) => compose('ps', '--all', '--quiet', service) };
}
