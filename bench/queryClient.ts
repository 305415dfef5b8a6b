/** Queries over UDP from one socket. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type Answer, decode, encode, type Packet, RECURSION_DESIRED } from 'dns-packet';
import type { BenchName } from './names.ts';

const RETRY_MS = 200;
/** Pause between queries: without one the client would take CPU time from the measured processes. Adds at most this to each result. */
export const POLL_MS = 1;

export interface QueryClient {
  /** The addresses in the answer to `name A`; undefined without a reply in time. */
  addresses(name: string): Promise<readonly string[] | undefined>;
  close(): void;
}

/** Opens a socket connected to a server on 127.0.0.1. */
export async function openQueryClient(port: number): Promise<QueryClient> {
  const socket = createSocket('udp4');
  const pending = new Map<number, (answer: Packet | undefined) => void>();
  let id = 0;
  socket.on('error', () => {}); // The server does not listen yet: the query times out.
  socket.on('message', (bytes) => {
    const packet = decode(bytes);
    pending.get(packet.id ?? -1)?.(packet);
  });
  socket.connect(port, '127.0.0.1');
  await once(socket, 'connect');
  const send = (query: Packet & { id: number }): Promise<Packet | undefined> =>
    new Promise((done) => {
      const finish = (answer: Packet | undefined): void => {
        clearTimeout(timer);
        pending.delete(query.id);
        done(answer);
      };
      const timer = setTimeout(finish, RETRY_MS, undefined);
      pending.set(query.id, finish);
      socket.send(encode(query));
    });
  return {
    addresses: async (name) => {
      id = (id + 1) & 0xffff;
      const questions = [{ type: 'A' as const, name }];
      const reply = await send({ type: 'query', id, flags: RECURSION_DESIRED, questions });
      return reply && (reply.answers ?? []).flatMap(dataOf);
    },
    close: () => socket.close(),
  };
}

function dataOf(answer: Answer): readonly string[] {
  return answer.type === 'A' ? [answer.data] : [];
}

/** Queries until the first address in the answer is `address`. */
export function untilAnswers(
  client: QueryClient,
  name: string,
  address: string,
  timeoutMs?: number,
): Promise<void> {
  const isRight = ([first]: readonly string[]): boolean => first === address;
  return untilAddresses(client, name, isRight, timeoutMs);
}

/** Queries a server on 127.0.0.1 until it answers the last of the names with its address. */
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

/** Queries until the answer has no address. */
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
