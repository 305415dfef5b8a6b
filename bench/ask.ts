/** One question at a time over UDP, from one socket. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type Answer, decode, encode, type Packet } from 'dns-packet';

const RETRY_MS = 200;

export interface Asker {
  /** The first address in the answer to `name A`, or undefined if it has none or none came in time. */
  address(name: string): Promise<string | undefined>;
  close(): void;
}

/** A socket connected to a server on 127.0.0.1. */
export async function openAsker(port: number): Promise<Asker> {
  const socket = createSocket('udp4');
  socket.on('error', () => {}); // Nobody listens yet: the question times out.
  socket.connect(port, '127.0.0.1');
  await once(socket, 'connect');
  let id = 0;
  return {
    address: async (name) => {
      id = (id + 1) & 0xffff;
      const answer = await ask(socket, { type: 'query', id, questions: [{ type: 'A', name }] });
      return answer?.answers?.map(dataOf).find((data) => data !== undefined);
    },
    close: () => socket.close(),
  };
}

function ask(socket: Socket, query: Packet): Promise<Packet | undefined> {
  return new Promise((done) => {
    const finish = (packet: Packet | undefined): void => {
      clearTimeout(timer);
      socket.off('message', hear);
      done(packet);
    };
    const hear = (bytes: Buffer): void => {
      const packet = decode(bytes);
      if (packet.id === query.id) finish(packet);
    };
    const timer = setTimeout(finish, RETRY_MS, undefined);
    socket.on('message', hear);
    socket.send(encode(query));
  });
}

function dataOf(answer: Answer): string | undefined {
  return answer.type === 'A' ? answer.data : undefined;
}

/** Asks until the address is the right one. */
export async function untilAnswers(
  asker: Asker,
  name: string,
  address: string,
  timeoutMs = 120_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while ((await asker.address(name)) !== address) {
    if (performance.now() > deadline) throw new Error(`no answer ${address} for ${name}`);
    await new Promise((done) => setTimeout(done, 1));
  }
}
