/** A real Docker with `soradns serve --register` beside it, and checks of its answers and explanations. */
import assert from 'node:assert/strict';
import { after } from 'node:test';
import type { SocketAddress } from '../../src/dns/address.ts';
import { spawnCli } from './cli.ts';
import type { CliProcess } from './cliProcess.ts';
import { dig } from './dig.ts';
import type { Dockerd } from './dockerd.ts';
import { type DockerTests, useDockerd } from './dockerTest.ts';
import type { ContainerSetup } from './engineCommands.ts';
import { startFollowing } from './followed.ts';
import { until } from './until.ts';

export const TIMEOUT_MS = 30_000;

/** A command that keeps running after SIGTERM, like a server that finishes its requests. */
export const SLOW_TO_STOP: readonly string[] = [
  ...['sh', '-c'],
  'trap "" TERM; while :; do sleep 0.2; done',
];

/** A Docker and the server whose registrar follows it. */
export interface ServedDocker {
  readonly dockerd: Dockerd;
  readonly dns: SocketAddress;
  readonly http: string;
}

export interface ServedDockerTests {
  readonly options: DockerTests['options'];
  /** Body for `test`: runs `body` with the file's Docker and server. */
  on(body: (served: ServedDocker) => Promise<void>): ReturnType<DockerTests['on']>;
}

/** Starts both with the file's first test and stops them after the last. */
export function useServedDocker(): ServedDockerTests {
  const docker = useDockerd();
  let server: CliProcess | undefined;
  let serving: Promise<ServedDocker> | undefined;
  after(() => server?.end());
  const serve = async (dockerd: Dockerd): Promise<ServedDocker> => {
    const started = await startFollowing(dockerd);
    server = started.server;
    return { dockerd, dns: started.dns, http: `http://${started.http}` };
  };
  return {
    options: docker.options,
    on: (body) =>
      docker.on(async (dockerd) => {
        serving ??= serve(dockerd);
        await body(await serving);
      }),
  };
}

/** Runs a container whose DNS name is its own name below skydns.local. */
export function run(
  { dockerd }: ServedDocker,
  name: string,
  setup: ContainerSetup = {},
): Promise<string> {
  const env = { DNS_NAME: `${name}.skydns.local`, ...setup.env };
  return dockerd.run({ ...setup, name, env });
}

/** The sorted rdata of the answer. */
export async function data(
  { dns }: Pick<ServedDocker, 'dns'>,
  type: string,
  name: string,
): Promise<string[]> {
  const { answer } = await dig(dns, type, name);
  return answer.map((line) => line.replace(/^\S+ \d+ IN \S+ /, '')).sort();
}

/** Queries until the answer is as expected. */
export async function answers(
  served: Pick<ServedDocker, 'dns'>,
  type: string,
  name: string,
  expected: readonly string[],
): Promise<void> {
  let got: readonly string[] = [];
  const isSo = async (): Promise<boolean> => {
    got = await data(served, type, name);
    return JSON.stringify(got) === JSON.stringify(expected);
  };
  await until(`${type} ${name} is answered`, isSo, TIMEOUT_MS).catch(() => {});
  assert.deepEqual(got, expected);
}

/** Waits until `registrar explain` prints the expected text. */
export async function explains(
  { http }: Pick<ServedDocker, 'http'>,
  container: string,
  expected: RegExp,
): Promise<void> {
  let text = '';
  const isSo = async (): Promise<boolean> => {
    const explained = await spawnCli(['registrar', 'explain', container], {
      SORADNS_REGISTRAR: http,
    });
    text = explained.stdout + explained.stderr;
    return expected.test(text);
  };
  await until(`${container} is explained`, isSo, TIMEOUT_MS).catch(() => {});
  assert.match(text, expected);
}

/** Whether DNS has the name at any time until `end` resolves. */
export async function isEverAnswered(
  served: Pick<ServedDocker, 'dns'>,
  name: string,
  end: Promise<unknown>,
): Promise<boolean> {
  let hasEnded = false;
  const ended = end.finally(() => {
    hasEnded = true;
  });
  ended.catch(() => {});
  let isAnswered = false;
  while (!hasEnded && !isAnswered) {
    isAnswered = (await data(served, 'A', name)).length > 0;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await ended;
  return isAnswered;
}
