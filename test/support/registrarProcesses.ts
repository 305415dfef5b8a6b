/** For tests that start registrars as processes: a fake Docker for each test, and readers of what registrars write. */
import { afterEach, beforeEach } from 'node:test';
import { type CliProcess, startCli } from './cliProcess.ts';
import { type FakeDocker, startFakeDocker } from './fakeDocker.ts';

/** A container to run, and the key of its name. */
export const WEB = {
  name: 'web',
  env: { DNS_NAME: 'web.skydns.local' },
  publish: ['8080:80'],
} as const;
export const KEY = '/skydns/local/skydns/web';

export interface RegistrarProcesses {
  /** The current test's fake Docker. */
  readonly docker: FakeDocker;
  /** Starts `soradns` with that Docker; it ends with the test. */
  start(args: readonly string[], env?: Readonly<Record<string, string>>): CliProcess;
}

/** Gives each test of the file a fake Docker, and ends its processes. */
export function useFakeDocker(): RegistrarProcesses {
  const processes = new Set<CliProcess>();
  let docker: FakeDocker | undefined;
  const current = (): FakeDocker => {
    if (docker === undefined) throw new Error('no test is running');
    return docker;
  };
  beforeEach(async () => {
    docker = await startFakeDocker();
  });
  afterEach(async () => {
    await Promise.all([...processes].map((child) => child.end('SIGKILL')));
    processes.clear();
    await docker?.close();
  });
  return {
    get docker() {
      return current();
    },
    start(args, env = {}) {
      const child = startCli(args, { DOCKER_HOST: current().host, ...env });
      processes.add(child);
      return child;
    },
  };
}

/** The host and revision of the record at the key, from a server's keys API. */
export async function recordAt(http: string, key: string = KEY) {
  const response = await fetch(`${http}/v2/keys${key}`);
  const { node } = (await response.json()) as { node?: { value: string; modifiedIndex: number } };
  return node && { host: JSON.parse(node.value).host, modifiedIndex: node.modifiedIndex };
}

export async function hostAt(http: string, key: string = KEY): Promise<string | undefined> {
  return (await recordAt(http, key))?.host;
}

/** Status and text of /readyz, e.g. `200 ok`. */
export async function readyz(http: string): Promise<string> {
  const response = await fetch(`${http}/readyz`);
  return `${response.status} ${(await response.text()).trim()}`;
}
