/** The time from Docker's `start` event to the container's name being answered, and from `die` to its being gone. */
import type { Dockerd } from '../test/support/dockerd.ts';
import { type DockerEvent, type DockerEvents, openDockerEvents } from './dockerEvents.ts';
import { DOMAIN } from './names.ts';
import { openQueryClient, type QueryClient, untilAnswers, untilGone } from './queryClient.ts';

/** What is measured of one container, each from the event's own time. */
export interface ContainerTimes {
  readonly answeredMs: number;
  readonly goneMs: number;
  /** Until the bench itself read the events: no registrar can know sooner. */
  readonly startReadMs: number;
  readonly dieReadMs: number;
}

export interface ContainerRuns {
  /** One container after the other. */
  readonly alone: readonly ContainerTimes[];
  /** Of containers that are started, and removed, all at once. */
  readonly together: readonly ContainerTimes[];
}

export interface ContainerRunsOptions {
  readonly alone: number;
  readonly together: number;
  readonly rounds: number;
  /** What published ports are answered with. */
  readonly address: string;
}

/** Measures on a registrar that follows the engine and is ready; the port is its server's. */
export async function measureContainers(
  dockerd: Dockerd,
  port: number,
  options: ContainerRunsOptions,
): Promise<ContainerRuns> {
  const client = await openQueryClient(port);
  const events = await openDockerEvents(dockerd.socket);
  const bench = { dockerd, client, events, address: options.address };
  try {
    await runAndRemove(bench, ['warm-up']);
    const alone: ContainerTimes[] = [];
    for (let i = 0; i < options.alone; i++)
      alone.push(...(await runAndRemove(bench, [`alone-${i}`])));
    const together: ContainerTimes[] = [];
    for (let round = 0; round < options.rounds; round++) {
      const names = Array.from({ length: options.together }, (_, i) => `round-${round}-${i}`);
      together.push(...(await runAndRemove(bench, names)));
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

/** Starts containers of these names at once, and when all are answered removes them at once. */
async function runAndRemove(bench: Setup, names: readonly string[]): Promise<ContainerTimes[]> {
  const starts = await Promise.all(names.map((name) => start(bench, name)));
  const gone = names.map((name) => timeGone(bench, name));
  // Killed at once and not asked to stop first: `die` is the first that is heard of it.
  const [ends] = await Promise.all([
    Promise.all(gone),
    bench.dockerd.docker('rm', '--force', ...names),
  ]);
  return starts.map((each, i) => ({ ...each, ...(ends[i] as (typeof ends)[number]) }));
}

async function start(bench: Setup, name: string) {
  const env = { DNS_NAME: dnsName(name), DNS_STOP: 'die' };
  const [times] = await Promise.all([
    timeAnswered(bench, name),
    bench.dockerd.run({ name, env, publish: ['8080'] }),
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

function readAfterMs({ happenedMs, readMs: heardMs }: DockerEvent): number {
  return heardMs - happenedMs;
}
