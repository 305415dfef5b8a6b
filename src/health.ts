#!/usr/bin/env node
/**
 * The image's health check, a program of its own because it must start fast. It queries the server at each of its
 * addresses, over UDP, for a name that only the store can answer. SERVFAIL means that the store has never been read;
 * any other reply is healthy. Prints one line, and exits with 0 or 1.
 *
 * An ambassador has no DNS to query: it is healthy while it runs. `soradns ambassador status` says more, where it has
 * an HTTP address.
 *
 *   node dist/health.js [PID]     PID: the server to check; without it, every server that listens here
 */
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { printSocketAddress, type SocketAddress } from './dns/address.ts';
import { encodeQuery } from './dns/encode.ts';
import type { Question } from './dns/message.ts';
import { rcodeName } from './dns/mnemonic.ts';
import { parseName } from './dns/name.ts';
import { Class, Rcode, Type } from './dns/rr.ts';
import { readReply } from './forward/reply.ts';
import { listeningAddresses } from './server/socketTable.ts';

const TIMEOUT_MS = 3000;

/** Sent with RD clear, so that it is never forwarded. */
const QUESTION: Question = {
  qname: parseName('1.0.0.127.in-addr.arpa.') ?? [],
  qtype: Type.PTR,
  qclass: Class.IN,
};

/** The rcode of the reply; undefined if none arrives within `TIMEOUT_MS`. */
function ask({ address, port }: SocketAddress): Promise<number | undefined> {
  const id = randomInt(0x10000);
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  return new Promise((resolve) => {
    const done = (rcode?: number): void => {
      clearTimeout(timer);
      socket.close();
      resolve(rcode);
    };
    const timer = setTimeout(done, TIMEOUT_MS);
    socket.once('error', () => done());
    socket.on('message', (packet) => {
      const reply = readReply(packet, { id, question: QUESTION, transport: 'udp' });
      if (reply?.kind === 'reply') done(reply.message.rcode);
    });
    const query = { id, question: QUESTION, recursionDesired: false, checkingDisabled: false };
    socket.connect(port, address, () => socket.send(encodeQuery(query), () => {}));
  });
}

/** Whether the process, or without one the container's main process, is `soradns ambassador`. */
function isAmbassador(pid = '1'): boolean {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return words[words.findIndex((word) => /(^|\/)main\.js$/.test(word)) + 1] === 'ambassador';
  } catch {
    return false;
  }
}

const [, , pid] = process.argv;
const isOnlyProxy = isAmbassador(pid);
const addresses = isOnlyProxy ? [] : await listeningAddresses(pid);
const rcodes = await Promise.all(addresses.map(ask));
const words = addresses.map((address, index) => {
  const rcode = rcodes[index];
  return `${printSocketAddress(address)} ${rcode === undefined ? 'no reply' : rcodeName(rcode)}`;
});
const none = isOnlyProxy ? 'an ambassador is running' : 'no server is listening';
console.log(words.length === 0 ? none : words.join(', '));
const isHealthy = rcodes.every((rcode) => rcode !== undefined && rcode !== Rcode.SERVFAIL);
process.exitCode = isOnlyProxy || (words.length > 0 && isHealthy) ? 0 : 1;
