/**
 * What the registrar adds between Docker and DNS, in its two usual places: within a server on an embedded store, and as
 * a process of its own beside a server on etcd. A real dockerd starts and ends the containers; a thousand that run
 * already are a fake one's.
 */
import { join } from 'node:path';
import { type Dockerd, startDockerd } from '../test/support/dockerd.ts';
import { dockerSkipReason } from '../test/support/dockerTest.ts';
import { measureColdStart, type Started } from './coldStart.ts';
import { type ContainerRuns, type ContainerTimes, measureContainers } from './containerTimes.ts';
import { startEtcd } from './etcd.ts';
import { POLL_MS } from './queryClient.ts';
import { startRegistrar, startSoradns, untilReady } from './soradns.ts';
import { figure, markdown, median, percentile } from './table.ts';

const CONTAINERS = 1000;
const TOGETHER = 30;
const ADDRESS = '192.0.2.1';

export interface RegistrarBenchOptions {
  readonly folder: string;
  /** Containers that are started one after the other. */
  readonly starts: number;
  /** How often many are started at once, and how often all is found running. */
  readonly rounds: number;
}

interface DeploymentResult {
  readonly title: string;
  readonly lives: ContainerRuns | undefined;
  readonly coldSeconds: readonly number[];
}

export async function benchRegistrar(options: RegistrarBenchOptions): Promise<string> {
  const skipReason = dockerSkipReason();
  const dockerd = skipReason === undefined ? await startDockerd() : undefined;
  try {
    const figures: DeploymentResult[] = [];
    for (const openPlace of [embedded, clustered]) {
      const place = await openPlace(options.folder);
      try {
        figures.push(await measure(place, dockerd, options));
      } finally {
        await place.close();
      }
    }
    return [livesReport(figures, skipReason, options), coldReport(figures, options)].join('\n\n');
  } finally {
    await dockerd?.stop();
  }
}

/** Where a registrar can be started. */
interface Deployment {
  readonly title: string;
  register(dockerHost: string): Promise<Started & { ready(): Promise<void> }>;
  close(): Promise<void>;
}

async function embedded(folder: string): Promise<Deployment> {
  let stores = 0;
  return {
    title: '`serve --register`, file',
    async register(dockerHost) {
      const server = await startSoradns({
        store: `file:${join(folder, `registrar-${stores++}`)}`,
        cwd: folder,
        args: ['--register', ...registrarArgs(dockerHost, '--register-')],
      });
      return { port: server.port, ready: () => untilReady(server), stop: server.stop };
    },
    close: async () => {},
  };
}

async function clustered(folder: string): Promise<Deployment> {
  const etcd = await startEtcd(join(folder, 'registrar-etcd'));
  const server = await startSoradns({ store: etcd.store, cwd: folder });
  const close = async (): Promise<void> => {
    await server.stop();
    await etcd.stop();
  };
  try {
    await untilReady(server);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    title: '`serve` and `register`, etcd',
    async register(dockerHost) {
      const registrar = await startRegistrar({
        store: etcd.store,
        cwd: folder,
        args: registrarArgs(dockerHost, '--'),
      });
      return { port: server.port, ready: () => untilReady(registrar), stop: registrar.stop };
    },
    close,
  };
}

function registrarArgs(dockerHost: string, prefix: string): readonly string[] {
  return [
    ...[`${prefix}docker-host`, dockerHost, `${prefix}ip`, ADDRESS],
    ...[`${prefix}on-exit`, 'revoke'],
  ];
}

async function measure(
  place: Deployment,
  dockerd: Dockerd | undefined,
  { starts, rounds }: RegistrarBenchOptions,
): Promise<DeploymentResult> {
  const coldSeconds: number[] = [];
  for (let round = 0; round < rounds; round++) {
    coldSeconds.push(await measureColdStart(CONTAINERS, ADDRESS, place.register));
    console.error(
      `${place.title}: cold start ${round + 1}: ${figure(coldSeconds.at(-1) ?? 0, 2)} s`,
    );
  }
  const lives = dockerd && (await measureOn(dockerd, place, starts, rounds));
  return { title: place.title, lives, coldSeconds };
}

async function measureOn(
  dockerd: Dockerd,
  place: Deployment,
  alone: number,
  rounds: number,
): Promise<ContainerRuns> {
  const registrar = await place.register(dockerd.host);
  try {
    await registrar.ready();
    const options = { alone, together: TOGETHER, rounds, address: ADDRESS };
    return await measureContainers(dockerd, registrar.port, options);
  } finally {
    await registrar.stop();
  }
}

const ROWS: readonly (readonly [
  title: string,
  of: keyof ContainerRuns,
  times: readonly (keyof ContainerTimes)[],
])[] = [
  ['`start` → answered, alone', 'alone', ['answeredMs']],
  ['`die` → gone, alone', 'alone', ['goneMs']],
  [`\`start\` → answered, ${TOGETHER} at once`, 'together', ['answeredMs']],
  [`\`die\` → gone, ${TOGETHER} at once`, 'together', ['goneMs']],
  ['event → read from Docker, alone', 'alone', ['startReadMs', 'dieReadMs']],
  [`event → read from Docker, ${TOGETHER} at once`, 'together', ['startReadMs', 'dieReadMs']],
];

function livesReport(
  figures: readonly DeploymentResult[],
  skipReason: string | undefined,
  { starts, rounds }: RegistrarBenchOptions,
): string {
  if (skipReason !== undefined) return `No Docker can run here to be followed: ${skipReason}.`;
  const head = figures.flatMap(({ title }) => [`${title}: p50 ms`, 'p95 ms']);
  const rows = ROWS.map(([title, of, times]) => [
    title,
    ...figures.flatMap(({ lives }) => {
      const all = lives?.[of].flatMap((life) => times.map((time) => life[time])) ?? [];
      return [0.5, 0.95].map((share) => figure(percentile(all, share), 1));
    }),
  ]);
  return `${markdown([["from Docker's event", ...head], ...rows])}

From the time that Docker gives its event to the first right reply over UDP, the name asked for every ${POLL_MS} ms from
the event on; ${figure(starts)} containers alone, ${figure(rounds * TOGETHER)} in groups of ${TOGETHER}, their starting included in the load.
The last rows are Docker's own part in it.`;
}

function coldReport(
  figures: readonly DeploymentResult[],
  { rounds }: RegistrarBenchOptions,
): string {
  const rows = figures.map(({ title, coldSeconds }) => [title, figure(median(coldSeconds), 2)]);
  return `${markdown([['a registrar finds', `${figure(CONTAINERS)} containers, s`], ...rows])}

From the start of its process to all their names being answered; medians of ${rounds}. With \`--register\` the server starts too.`;
}
