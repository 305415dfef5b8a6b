/** A UDP socket that sends any octets and waits for the reply. */
import dgram, { type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { TestContext } from 'node:test';

export interface Answer {
  readonly reply: Buffer;
  /** Source address of the reply. */
  readonly from: string;
}

export interface UdpClient {
  readonly socket: Socket;
  readonly port: number;
  /** Sends and waits for the next packet, 10 s at most. */
  ask(port: number, server?: string, packet?: string | Uint8Array): Promise<Answer>;
}

/** Opens a socket on the address, by default on any port; closes it after the test. */
export async function openUdpClient(
  t: TestContext,
  address = '127.0.0.1',
  port = 0,
): Promise<UdpClient> {
  const socket = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4');
  t.after(() => socket.close());
  socket.bind(port, address);
  await once(socket, 'listening');
  return {
    socket,
    port: socket.address().port,
    async ask(to, server = address, packet = 'a question') {
      const answered = once(socket, 'message', { signal: AbortSignal.timeout(10_000) });
      socket.send(packet, to, server);
      const [reply, peer] = await answered;
      return { reply, from: peer.address };
    },
  };
}
