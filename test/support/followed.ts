/** A server with a registrar that follows a real engine, with checks of DNS and of the registrar's report. */
import assert from 'node:assert/strict';
import { REPORT_PATH, type RegistrarReport } from '../../src/app/registrar/registrarReport.ts';
import { parseSocketAddress, type SocketAddress } from '../../src/dns/address.ts';
import { type CliProcess, ON_FREE_PORTS, startCli } from './cliProcess.ts';
import { dig } from './dig.ts';
import { until } from './until.ts';

/** An engine: its DOCKER_HOST, and the address of its host for others. */
export interface FollowableEngine {
  readonly host: string;
  readonly address: string;
}

export interface Followed {
  /** Waits until the name below `skydns.local` has these A records. */
  addresses(name: string, ...expected: readonly string[]): Promise<void>;
  /** Waits until the name's SRV records have these addresses and ports, as `10.0.0.1:80`. */
  services(name: string, ...expected: readonly string[]): Promise<void>;
  /** The reasons in the registrar's report that keep the container out of DNS. */
  reasons(container: string): Promise<readonly string[]>;
  stop(): Promise<void>;
}

const TIMEOUT_MS = 20_000;
const ZONE = 'skydns.local';

/** A process with a server and a registrar. */
export interface FollowingServer {
  readonly server: CliProcess;
  readonly dns: SocketAddress;
  /** `host:port` */
  readonly http: string;
}

/** Starts a server with a registrar on an empty store; waits until it follows the engine. */
export async function startFollowing(
  engine: FollowableEngine,
  ...options: readonly string[]
): Promise<FollowingServer> {
  const followed = ['--register', '--register-docker-host', engine.host];
  const address = ['--register-ip', engine.address];
  const line = ['serve', '--store', 'memory:', ...ON_FREE_PORTS, ...followed, ...address];
  const server = startCli([...line, ...options]);
  try {
    const { dns, http } = await server.logged('serving');
    await server.logged('following docker');
    const at = parseSocketAddress(String(dns), 53);
    if (at === undefined) throw new Error(`not an address: ${dns}`);
    return { server, dns: at, http: String(http) };
  } catch (error) {
    await server.end('SIGKILL');
    throw error;
  }
}

/** As `startFollowing`, with checks of its names. */
export async function follow(
  engine: FollowableEngine,
  ...options: readonly string[]
): Promise<Followed> {
  const { server, dns: at, http } = await startFollowing(engine, ...options);
  const report = async (): Promise<RegistrarReport> => {
    const answer = await fetch(`http://${http}${REPORT_PATH}`);
    return (await answer.json()) as RegistrarReport;
  };
  const answer = async (type: string, name: string): Promise<readonly string[]> =>
    (await dig(at, type, `${name}.${ZONE}`)).answer;
  return {
    addresses: (name, ...expected) =>
      eventually(`A ${name}`, expected, async () => (await answer('A', name)).map(lastWord)),
    services: (name, ...expected) =>
      eventually(`SRV ${name}`, expected, async () => {
        const { answer: services, additional } = await dig(at, 'SRV', `${name}.${ZONE}`);
        return services.flatMap((service) => {
          const [, port = '', target = ''] = / (\d+) (\S+)$/.exec(service) ?? [];
          const glue = additional.filter((line) => line.startsWith(`${target} `));
          return glue.map((line) => `${lastWord(line)}:${port}`);
        });
      }),
    async reasons(container) {
      const { containers } = await report();
      const one = containers.find(({ name }) => name === container);
      if (one === undefined) return ['is not known'];
      const refusals = one.refusals.map(({ reason }) => reason);
      return [...(one.reason === undefined ? [] : [one.reason]), ...refusals];
    },
    stop: async () => void (await server.end('SIGKILL')),
  };
}

/** Polls until the result is as expected, in any order. */
async function eventually(
  what: string,
  expected: readonly string[],
  read: () => Promise<readonly string[]>,
): Promise<void> {
  const wanted = [...expected].sort();
  let got: readonly string[] = [];
  const isSo = async (): Promise<boolean> => {
    got = [...(await read())].sort();
    return JSON.stringify(got) === JSON.stringify(wanted);
  };
  await until(what, isSo, TIMEOUT_MS).catch(() => {});
  assert.deepEqual(got, wanted, what);
}

function lastWord(line: string): string {
  return line.slice(line.lastIndexOf(' ') + 1);
}
