/** The time from Docker's `start` event until DNS has the container's name, and from `die` until the name is gone. */
import type { Dockerd } from '../test/support/dockerd.ts';
import { type DockerEvent, type DockerEvents, openDockerEvents } from './dockerEvents.ts';
import { DOMAIN } from './names.ts';
import { openQueryClient, type QueryClient, untilAnswers, untilGone } from './queryClient.ts';

/** Times of one container, each from the event's own timestamp. */
export interface ContainerTimes {
  readonly answeredMs: number;
  readonly goneMs: number;
  /** Until the benchmark itself read the event: a registrar cannot react earlier. */
  readonly startReadMs: number;
  readonly dieReadMs: number;
}

export interface ContainerRuns {
  /** Containers started one after the other. */
  readonly alone: readonly ContainerTimes[];
  /** Containers started, and removed, at the same time. */
  readonly together: readonly ContainerTimes[];
}

export interface ContainerRunsOptions {
  readonly alone: number;
  readonly together: number;
  readonly rounds: number;
  /** The address that DNS gives for published ports. */
  readonly address: string;
}

/** Measures with a ready registrar that follows the engine. `port`: the DNS server's. */
export async function measureContainers(
  dockerd: Dockerd,
  port: number,
  options: ContainerRunsOptions,
): Promise<ContainerRuns> {
  const client = await openQueryClient(port);
  const events = await openDockerEvents(dockerd.socket);
  const setup = { dockerd, client, events, address: options.address };
  try {
    await runAndRemove(setup, ['warm-up']);
    const alone: ContainerTimes[] = [];
    for (let i = 0; i < options.alone; i++)
      alone.push(...(await runAndRemove(setup, [`alone-${i}`])));
    const together: ContainerTimes[] = [];
    for (let round = 0; round < options.rounds; round++) {
      const names = Array.from({ length: options.together }, (_, i) => `round-${round}-${i}`);
      together.push(...(await runAndRemove(setup, names)));
    }
    return { alone, together };
  } finally {
    events.close();
    client.close();
  }
}

interface Setup {
  readonly dockerd: Dockerd;
  readonly client: QueryClient;
  readonly events: DockerEvents;
  readonly address: string;
}

/** Starts containers with these names together and removes them together once DNS has all names. */
async function runAndRemove(setup: Setup, names: readonly string[]): Promise<ContainerTimes[]> {
  const starts = await Promise.all(names.map((name) => start(setup, name)));
  const gone = names.map((name) => timeGone(setup, name));
  // Killed without a stop signal: `die` is the first event of the removal.
  const [ends] = await Promise.all([
    Promise.all(gone),
    setup.dockerd.docker('rm', '--force', ...names),
  ]);
  return starts.map((each, i) => ({ ...each, ...(ends[i] as (typeof ends)[number]) }));
}

async function start(setup: Setup, name: string) {
  const env = { DNS_NAME: dnsName(name), DNS_STOP: 'die' };
  const [times] = await Promise.all([
    timeAnswered(setup, name),
    setup.dockerd.run({ name, env, publish: ['8080'] }),
  ]);
  return times;
}

async function timeAnswered({ events, client, address }: Setup, name: string) {
  const event = await events.next('start', name);
  await untilAnswers(client, dnsName(name), address);
  return { answeredMs: elapsedSince(event), startReadMs: readAfterMs(event) };
}

async function timeGone({ events, client }: Setup, name: string) {
  const event = await events.next('die', name);
  await untilGone(client, dnsName(name));
  return { goneMs: elapsedSince(event), dieReadMs: readAfterMs(event) };
}

function dnsName(name: string): string {
  return `${name}.bench.${DOMAIN}`;
}

function elapsedSince({ happenedMs }: DockerEvent): number {
  return performance.now() - happenedMs;
}

function readAfterMs({ happenedMs, readMs }: DockerEvent): number {
  return readMs - happenedMs;
}
