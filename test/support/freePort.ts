/**
 * Ports that a test can tell others before anybody listens on them. The kernel gives none of them to sockets that ask
 * for any, as they are below its range, and no other test takes one while this process lives: each is claimed by a name
 * in the abstract socket namespace, which goes with its process.
 */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

const FIRST = 12_000;
const PORTS = 20_000;

/** Where this process looks next; others begin elsewhere. */
let next = (process.pid * 101) % PORTS;

/** A port that is free for UDP and TCP on all addresses, and claimed for as long as this process lives. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < PORTS; tries++) {
    const port = FIRST + next;
    next = (next + 1) % PORTS;
    if ((await claim(port)) && (await isFreeForTcp(port)) && (await isFreeForUdp(port)))
      return port;
  }
  throw new Error('no port is free');
}

function claim(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on('error', () => resolve(false));
    server.listen(`\0soradns-test-port-${port}`, () => {
      server.unref();
      resolve(true);
    });
  });
}

function isFreeForTcp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on('error', () => resolve(false));
    server.listen(port, () => server.close(() => resolve(true)));
  });
}

function isFreeForUdp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket({ type: 'udp6' });
    socket.on('error', () => resolve(false));
    socket.bind(port, () => socket.close(() => resolve(true)));
  });
}
