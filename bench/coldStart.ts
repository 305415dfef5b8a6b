/** The time in which a registrar that is started registers all that runs already. */
import { startFakeDocker } from '../test/support/fakeDocker.ts';
import { DOMAIN } from './names.ts';
import { openQueryClient, untilAnswers } from './queryClient.ts';

/** Each asks for its share of the names. They add little to what is measured, and take little from it. */
const CONCURRENT_QUERIES = 4;

export interface Started {
  /** Of the server that is to answer. */
  readonly port: number;
  stop(): Promise<void>;
}

let measured = 0;

/** Seconds from the call of `startRegistrar`, which gets an engine's address, to all names being answered. */
export async function measureColdStart(
  containers: number,
  address: string,
  startRegistrar: (dockerHost: string) => Promise<Started>,
): Promise<number> {
  const engine = await startFakeDocker();
  try {
    // Other names each time, so that none is answered from what an earlier one left.
    const domain = `cold-${measured++}.${DOMAIN}`;
    const names = Array.from({ length: containers }, (_, i) => `${i}.${domain}`);
    for (const name of names) engine.run({ env: { DNS_NAME: name }, publish: ['8080:8080'] });
    const began = performance.now();
    const started = await startRegistrar(engine.host);
    try {
      await untilAllAnswered(started.port, names, address);
      return (performance.now() - began) / 1000;
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
