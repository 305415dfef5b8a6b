/** Asks a server many questions over one UDP socket, many of them at the same time. */
import dgram from 'node:dgram';
import type { SocketAddress } from '../../src/dns/address.ts';
import { decodeMessage } from '../../src/dns/decode.ts';
import { encodeQuery } from '../../src/dns/encode.ts';
import type { Message, Question } from '../../src/dns/message.ts';

const IN_FLIGHT = 100;
/** A busy machine loses packets. */
const REPEAT_MS = 500;
const LIMIT_MS = 20_000;

/** The replies in the order of the questions, of which there are less than 65,536. */
export function askMany(
  server: SocketAddress,
  questions: readonly Question[],
): Promise<readonly Message[]> {
  const socket = dgram.createSocket('udp4');
  const replies: Message[] = [];
  const pending = new Set<number>();
  let next = 0;
  const send = (id: number): void => {
    const flags = { recursionDesired: false, checkingDisabled: false };
    const edns = { udpSize: 4096, dnssecOk: false };
    const packet = encodeQuery({ id, question: questions[id] as Question, ...flags, edns });
    socket.send(packet, server.port, server.address);
  };
  const fill = (): void => {
    for (; pending.size < IN_FLIGHT && next < questions.length; next++) {
      pending.add(next);
      send(next);
    }
  };
  return new Promise<readonly Message[]>((resolve, reject) => {
    const repeat = setInterval(() => {
      for (const id of pending) send(id);
    }, REPEAT_MS);
    const limit = setTimeout(() => {
      finish();
      reject(new Error(`${pending.size} questions of ${questions.length} got no reply`));
    }, LIMIT_MS);
    const finish = (): void => {
      clearInterval(repeat);
      clearTimeout(limit);
      socket.close();
    };
    socket.on('message', (octets) => {
      const reply = decodeMessage(octets);
      if (reply === undefined || !pending.delete(reply.id)) return;
      replies[reply.id] = reply;
      fill();
      if (pending.size > 0) return;
      finish();
      resolve(replies);
    });
    fill();
  });
}
