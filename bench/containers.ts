/** The time from Docker's `start` event to the container's name being answered, and from `die` to its being gone. */
import type { Dockerd } from '../test/support/dockerd.ts';
import { type Asker, openAsker, untilAnswers, untilGone } from './ask.ts';
import { type DockerEvent, type DockerEvents, openDockerEvents } from './dockerEvents.ts';
import { DOMAIN } from './names.ts';

/** What is measured of one container, each from the event's own time. */
export interface Life {
  readonly answeredMs: number;
  readonly goneMs: number;
  /** Until the bench itself read the events: no registrar can know sooner. */
  readonly startHeardMs: number;
  readonly dieHeardMs: number;
}

export interface Lives {
  /** One container after the other. */
  readonly alone: readonly Life[];
  /** Of containers that are started, and removed, all at once. */
  readonly together: readonly Life[];
}

export interface LivesOptions {
  readonly alone: number;
  readonly together: number;
  readonly rounds: number;
  /** What published ports are answered with. */
  readonly address: string;
}

/** Measures on a registrar that follows the engine and is ready; the port is its server's. */
export async function measureLives(
  dockerd: Dockerd,
  port: number,
  options: LivesOptions,
): Promise<Lives> {
  const asker = await openAsker(port);
  const events = await openDockerEvents(dockerd.socket);
  const bench = { dockerd, asker, events, address: options.address };
  try {
    await live(bench, ['warm-up']);
    const alone: Life[] = [];
    for (let i = 0; i < options.alone; i++) alone.push(...(await live(bench, [`alone-${i}`])));
    const together: Life[] = [];
    for (let round = 0; round < options.rounds; round++) {
      const names = Array.from({ length: options.together }, (_, i) => `round-${round}-${i}`);
      together.push(...(await live(bench, names)));
    }
    return { alone, together };
  } finally {
    events.close();
    asker.close();
  }
}

interface Bench {
  readonly dockerd: Dockerd;
  readonly asker: Asker;
  readonly events: DockerEvents;
  readonly address: string;
}

/** Starts containers of these names at once, and when all are answered removes them at once. */
async function live(bench: Bench, names: readonly string[]): Promise<Life[]> {
  const starts = await Promise.all(names.map((name) => start(bench, name)));
  const gone = names.map((name) => timeGone(bench, name));
  // Killed at once and not asked to stop first: `die` is the first that is heard of it.
  const [ends] = await Promise.all([
    Promise.all(gone),
    bench.dockerd.docker('rm', '--force', ...names),
  ]);
  return starts.map((each, i) => ({ ...each, ...(ends[i] as (typeof ends)[number]) }));
}

async function start(bench: Bench, name: string) {
  const env = { DNS_NAME: dnsName(name), DNS_STOP: 'die' };
  const [times] = await Promise.all([
    timeAnswered(bench, name),
    bench.dockerd.run({ name, env, publish: ['8080'] }),
  ]);
  return times;
}

async function timeAnswered({ events, asker, address }: Bench, name: string) {
  const event = await events.next('start', name);
  await untilAnswers(asker, dnsName(name), address);
  return { answeredMs: since(event), startHeardMs: heard(event) };
}

async function timeGone({ events, asker }: Bench, name: string) {
  const event = await events.next('die', name);
  await untilGone(asker, dnsName(name));
  return { goneMs: since(event), dieHeardMs: heard(event) };
}

function dnsName(name: string): string {
  return `${name}.bench.${DOMAIN}`;
}

function since({ happenedMs }: DockerEvent): number {
  return performance.now() - happenedMs;
}

function heard({ happenedMs, heardMs }: DockerEvent): number {
  return heardMs - happenedMs;
}
