/** An attacker between a resolver and a server, who changes the server's replies over UDP. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { SocketAddress } from '../../src/dns/address.ts';
import { decodeMessage } from '../../src/dns/decode.ts';
import { encodeResponse } from '../../src/dns/encode.ts';
import type { Message } from '../../src/dns/message.ts';

export interface Forger {
  readonly address: SocketAddress;
  close(): void;
}

export async function startForger(
  server: SocketAddress,
  forge: (reply: Message) => Message,
): Promise<Forger> {
  const socket = createSocket('udp4');
  socket.on('message', (packet, client) => {
    const upstream = createSocket('udp4');
    upstream.unref();
    upstream.once('message', (octets) => {
      upstream.close();
      const reply = decodeMessage(octets);
      const [question] = reply?.questions ?? [];
      if (reply === undefined || question === undefined) return;
      const forged = forge(reply);
      const encoded =
        forged === reply ? octets : encodeResponse({ ...reply, question }, forged, 1232);
      socket.send(encoded, client.port, client.address);
    });
    upstream.send(packet, server.port, server.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address() as AddressInfo;
  return { address: { address: '127.0.0.1', port }, close: () => socket.close() };
}
