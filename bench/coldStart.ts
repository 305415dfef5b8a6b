/** The time in which a started registrar registers all running containers. */
import { startFakeDocker } from '../test/support/fakeDocker.ts';
import { DOMAIN } from './names.ts';
import { openQueryClient, untilAnswers } from './queryClient.ts';

/** Names that are queried at the same time: few, so that the queries hardly change the result. */
const CONCURRENT_QUERIES = 4;

export interface Started {
  /** Port of the DNS server that must answer. */
  readonly port: number;
  stop(): Promise<void>;
}

let measured = 0;

/** Returns the seconds from the call of `startRegistrar(dockerHost)` until the server answers all names. */
export async function measureColdStart(
  containers: number,
  address: string,
  startRegistrar: (dockerHost: string) => Promise<Started>,
): Promise<number> {
  const engine = await startFakeDocker();
  try {
    // New names for each measurement, because records of an earlier measurement may be left.
    const domain = `cold-${measured++}.${DOMAIN}`;
    const names = Array.from({ length: containers }, (_, i) => `${i}.${domain}`);
    for (const name of names) engine.run({ env: { DNS_NAME: name }, publish: ['8080:8080'] });
    const startedMs = performance.now();
    const started = await startRegistrar(engine.host);
    try {
      await untilAllAnswered(started.port, names, address);
      return (performance.now() - startedMs) / 1000;
    } finally {
      await started.stop();
    }
  } finally {
    await engine.close();
  }
}

async function untilAllAnswered(
  port: number,
  names: readonly string[],
  address: string,
): Promise<void> {
  const client = await openQueryClient(port);
  const left = names.values();
  const work = async (): Promise<void> => {
    for (const name of left) await untilAnswers(client, name, address);
  };
  await Promise.all(Array.from({ length: CONCURRENT_QUERIES }, work));
  client.close();
}
