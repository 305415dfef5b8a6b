/** Consumers of one host whose links have the same port. */
import assert from 'node:assert/strict';
import { type Connects, connectOften, serveFlows } from './flows.ts';
import type { Hosts } from './hosts.ts';
import { until } from './until.ts';

/** Two consumers reach the services that their own links name, and a third without a link is refused. */
export async function assertOwnLinks({ a, b }: Hosts): Promise<void> {
  for (const [text, name] of [
    ['red', '1.red.skydns.local'],
    ['blue', '1.blue.skydns.local'],
  ] as const)
    await serveFlows(b, { text, ports: [6379], env: { DNS_NAME: name } });
  const consumer = async (env: Readonly<Record<string, string>>) => {
    const id = await a.dockerd.run({ image: 'peer', env });
    const place = { kind: 'exec', id } as const;
    return () => connectOften(a, place, [a.bridge, 6379], { count: 20 });
  };
  const red = await consumer({ DNS_LINK_6379: 'red.skydns.local' });
  const blue = await consumer({ DNS_LINK_6379: 'blue.skydns.local' });
  const without = await consumer({});
  const reached = async (connect: () => Promise<Connects>) =>
    Object.keys((await connect()).replies).join();
  await until('one consumer reaches red', async () => (await reached(red)) === 'red');
  await until('the other reaches blue', async () => (await reached(blue)) === 'blue');
  const seen = await Promise.all([red, blue, without].map((connect) => connect()));
  assert.deepEqual(
    seen.map(({ replies, failed }) => ({ replies, failed })),
    [
      { replies: { red: 20 }, failed: 0 },
      { replies: { blue: 20 }, failed: 0 },
      { replies: {}, failed: 20 },
    ],
  );
}
