/**
 * Ports that a test can pass to programs before they listen. The ports are below the kernel's range for automatic
 * ports. While this process lives, no other test takes them: a socket in the abstract namespace reserves each port.
 */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

const FIRST = 12_000;
const PORTS = 20_000;

/** The next candidate; other processes start at other candidates. */
let next = (process.pid * 101) % PORTS;

/** Returns a port that is free for UDP and TCP on all addresses, and reserves it while this process lives. */
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
