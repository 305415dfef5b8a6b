/** Questions over UDP, from one socket. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type Answer, decode, encode, type Packet } from 'dns-packet';
import type { BenchName } from './names.ts';

const RETRY_MS = 200;
/** Asking without a pause would take both cores from those that are measured. It adds up to this to each figure. */
export const POLL_MS = 1;

export interface QueryClient {
  /** The addresses in the answer to `name A`, or undefined if none came in time. */
  addresses(name: string): Promise<readonly string[] | undefined>;
  close(): void;
}

/** A socket connected to a server on 127.0.0.1. */
export async function openQueryClient(port: number): Promise<QueryClient> {
  const socket = createSocket('udp4');
  const asked = new Map<number, (answer: Packet | undefined) => void>();
  let id = 0;
  socket.on('error', () => {}); // Nobody listens yet: the question times out.
  socket.on('message', (bytes) => {
    const packet = decode(bytes);
    asked.get(packet.id ?? -1)?.(packet);
  });
  socket.connect(port, '127.0.0.1');
  await once(socket, 'connect');
  const ask = (query: Packet & { id: number }): Promise<Packet | undefined> =>
    new Promise((done) => {
      const finish = (answer: Packet | undefined): void => {
        clearTimeout(timer);
        asked.delete(query.id);
        done(answer);
      };
      const timer = setTimeout(finish, RETRY_MS, undefined);
      asked.set(query.id, finish);
      socket.send(encode(query));
    });
  return {
    addresses: async (name) => {
      id = (id + 1) & 0xffff;
      const reply = await ask({ type: 'query', id, questions: [{ type: 'A', name }] });
      return reply && (reply.answers ?? []).flatMap(dataOf);
    },
    close: () => socket.close(),
  };
}

function dataOf(answer: Answer): readonly string[] {
  return answer.type === 'A' ? [answer.data] : [];
}

/** Asks until the first address is the right one. */
export function untilAnswers(
  client: QueryClient,
  name: string,
  address: string,
  timeoutMs?: number,
): Promise<void> {
  const isRight = ([first]: readonly string[]): boolean => first === address;
  return untilAddresses(client, name, isRight, timeoutMs);
}

/** Asks a server on 127.0.0.1 for the last of the names until its address is the right one. */
export async function untilLastAnswered(port: number, names: readonly BenchName[]): Promise<void> {
  const last = names.at(-1);
  if (last === undefined) return;
  const client = await openQueryClient(port);
  try {
    await untilAnswers(client, last.name, last.address);
  } finally {
    client.close();
  }
}

/** Asks until the answer has no address. */
export function untilGone(client: QueryClient, name: string): Promise<void> {
  return untilAddresses(client, name, (addresses) => addresses.length === 0);
}

async function untilAddresses(
  client: QueryClient,
  name: string,
  areRight: (addresses: readonly string[]) => boolean,
  timeoutMs = 120_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const addresses = await client.addresses(name);
    if (addresses !== undefined && areRight(addresses)) return;
    if (performance.now() > deadline) throw new Error(`${name} is still at ${addresses}`);
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
}
