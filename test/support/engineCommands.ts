/** Shared by the tests' Docker and Podman: the options of `run`, their commands, and waiting for the socket. */
import { execFile } from 'node:child_process';
import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ContainerSetup {
  readonly image?: string;
  readonly name?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  /** Values of `-p`. */
  readonly publish?: readonly string[];
  readonly network?: string;
  /** More options of `docker run`. */
  readonly args?: readonly string[];
  /** Default: sleeps, and exits at SIGTERM. */
  readonly command?: readonly string[];
}

/** Returns the command line that runs the engine's command with these arguments. */
export type EngineCli = (...args: readonly string[]) => readonly [string, ...string[]];

const COMMAND_TIMEOUT_MS = 90_000;

/** A process 1 that handles SIGTERM and SIGINT. */
export const SLEEP = ['sh', '-c', 'trap "exit 0" TERM INT; while :; do sleep 1000 & wait $!; done'];

/** The arguments of `run` that start the container in the background. */
export function runArguments(container: ContainerSetup): string[] {
  const { image = 'bb', name, env, labels, publish, network, args, command } = container;
  return [
    ...['run', '--detach'],
    ...(name === undefined ? [] : ['--name', name]),
    ...(network === undefined ? [] : ['--network', network]),
    ...Object.entries(env ?? {}).flatMap(([key, value]) => ['--env', `${key}=${value}`]),
    ...Object.entries(labels ?? {}).flatMap(([key, value]) => ['--label', `${key}=${value}`]),
    ...(publish ?? []).flatMap((port) => ['--publish', port]),
    ...(args ?? []),
    ...[image, ...(command ?? SLEEP)],
  ];
}

/** Runs the command line; returns its trimmed output, and rejects when it fails. */
export function output(
  [command, ...args]: readonly [string, ...string[]],
  env: NodeJS.ProcessEnv,
  timeoutMs = COMMAND_TIMEOUT_MS,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { env, timeout: timeoutMs, maxBuffer: 1 << 28 };
    execFile(command, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout.trim());
      else reject(new Error(`${command} ${args.join(' ')}: ${stderr.trim() || error.message}`));
    });
  });
}

/** Waits until the engine answers at its socket; rejects when it exits first or does not answer in time. */
export async function answering(
  socketPath: string,
  hasEnded: () => boolean,
  timeoutMs: number,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!(await answers(socketPath))) {
    if (hasEnded()) throw new Error('the engine exited');
    if (performance.now() > deadlineMs) throw new Error('the engine does not answer');
    await sleep(20);
  }
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get({ socketPath, path: '/_ping', agent: false, timeout: 2000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}
