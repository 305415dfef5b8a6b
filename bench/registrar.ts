/**
 * The delay that the registrar adds between Docker and DNS, in its two usual deployments: inside a server with an embedded
 * store, and as its own process beside a server with etcd. A real dockerd starts and ends the containers; the thousand
 * running containers of a cold start are a fake engine's.
 */
import { join } from 'node:path';
import { type Dockerd, startDockerd } from '../test/support/dockerd.ts';
import { dockerSkipReason } from '../test/support/dockerTest.ts';
import { measureColdStart, type Started } from './coldStart.ts';
import { type ContainerRuns, type ContainerTimes, measureContainers } from './containerTimes.ts';
import { startBenchEtcd } from './etcd.ts';
import { POLL_MS } from './queryClient.ts';
import { startRegistrar, startSoradns, untilReady } from './soradns.ts';
import { figure, markdown, median, percentile } from './table.ts';

const CONTAINERS = 1000;
const CONCURRENT_STARTS = 30;
const ADDRESS = '192.0.2.1';

export interface RegistrarBenchOptions {
  readonly folder: string;
  /** Number of containers started one after the other. */
  readonly starts: number;
  /** Rounds of concurrent starts, and of cold starts. */
  readonly rounds: number;
}

interface DeploymentResult {
  readonly title: string;
  readonly runs: ContainerRuns | undefined;
  readonly coldSeconds: readonly number[];
}

export async function benchRegistrar(options: RegistrarBenchOptions): Promise<string> {
  const skipReason = dockerSkipReason();
  const dockerd = skipReason === undefined ? await startDockerd() : undefined;
  try {
    const figures: DeploymentResult[] = [];
    for (const open of [embedded, clustered]) {
      const deployment = await open(options.folder);
      try {
        figures.push(await measure(deployment, dockerd, options));
      } finally {
        await deployment.close();
      }
    }
    return [containersReport(figures, skipReason, options), coldReport(figures, options)].join(
      '\n\n',
    );
  } finally {
    await dockerd?.stop();
  }
}

/** A deployment in which a registrar can be started. */
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
  const etcd = await startBenchEtcd(join(folder, 'registrar-etcd'));
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
  deployment: Deployment,
  dockerd: Dockerd | undefined,
  { starts, rounds }: RegistrarBenchOptions,
): Promise<DeploymentResult> {
  const coldSeconds: number[] = [];
  for (let round = 0; round < rounds; round++) {
    coldSeconds.push(await measureColdStart(CONTAINERS, ADDRESS, deployment.register));
    console.error(
      `${deployment.title}: cold start ${round + 1}: ${figure(coldSeconds.at(-1) ?? 0, 2)} s`,
    );
  }
  const runs = dockerd && (await measureOn(dockerd, deployment, starts, rounds));
  return { title: deployment.title, runs, coldSeconds };
}

async function measureOn(
  dockerd: Dockerd,
  deployment: Deployment,
  alone: number,
  rounds: number,
): Promise<ContainerRuns> {
  const registrar = await deployment.register(dockerd.host);
  try {
    await registrar.ready();
    const options = { alone, together: CONCURRENT_STARTS, rounds, address: ADDRESS };
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
  [`\`start\` → answered, ${CONCURRENT_STARTS} at once`, 'together', ['answeredMs']],
  [`\`die\` → gone, ${CONCURRENT_STARTS} at once`, 'together', ['goneMs']],
  ['event → read from Docker, alone', 'alone', ['startReadMs', 'dieReadMs']],
  [
    `event → read from Docker, ${CONCURRENT_STARTS} at once`,
    'together',
    ['startReadMs', 'dieReadMs'],
  ],
];

function containersReport(
  figures: readonly DeploymentResult[],
  skipReason: string | undefined,
  { starts, rounds }: RegistrarBenchOptions,
): string {
  if (skipReason !== undefined) return `Docker cannot run here: ${skipReason}.`;
  const head = figures.flatMap(({ title }) => [`${title}: p50 ms`, 'p95 ms']);
  const rows = ROWS.map(([title, of, times]) => [
    title,
    ...figures.flatMap(({ runs }) => {
      const all = runs?.[of].flatMap((run) => times.map((time) => run[time])) ?? [];
      return [0.5, 0.95].map((share) => figure(percentile(all, share), 1));
    }),
  ]);
  return `${markdown([["from Docker's event", ...head], ...rows])}

From the timestamp of Docker's event until the first right reply over UDP; the name is queried every ${POLL_MS} ms from the
event on; ${figure(starts)} containers alone, ${figure(rounds * CONCURRENT_STARTS)} in groups of ${CONCURRENT_STARTS}, whose starts are part of the load.
The last rows are Docker's own share.`;
}

function coldReport(
  figures: readonly DeploymentResult[],
  { rounds }: RegistrarBenchOptions,
): string {
  const rows = figures.map(({ title, coldSeconds }) => [title, figure(median(coldSeconds), 2)]);
  return `${markdown([['a registrar registers', `${figure(CONTAINERS)} containers, s`], ...rows])}

From the start of the registrar's process until all names are answered; medians of ${rounds}. With \`--register\` the server starts too.`;
}
