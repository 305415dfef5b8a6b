#!/usr/bin/env node
/**
 * The image's health check, a program of its own because it must start fast: the image runs it every 10 s. It therefore
 * loads few files, and Node's modules as main.ts does, and reads of a reply only the header and the question. It queries the server at each of its
 * addresses, over UDP, for a name that only the store can answer. SERVFAIL means that the store has never been read;
 * any other reply is healthy. Prints one line, and exits with 0 or 1.
 *
 * An ambassador has no DNS to query: it is healthy while it runs. `soradns ambassador status` says more, where it has
 * an HTTP address.
 *
 *   node dist/health.js [PID]     PID: the server to check; without it, every server that listens here
 */
import { printSocketAddress, type SocketAddress } from './dns/address.ts';
import { rcodeName } from './dns/presentation/mnemonic.ts';
import { Class, Rcode, Type } from './dns/rr.ts';
import { listeningAddresses } from './server/listening/listeningAddresses.ts';

const TIMEOUT_MS = 3000;

/** The question 1.0.0.127.in-addr.arpa PTR IN, as in a message. */
const QUESTION = Buffer.concat([
  ...['1', '0', '0', '127', 'in-addr', 'arpa', ''].flatMap((label) => [
    Buffer.of(label.length),
    Buffer.from(label),
  ]),
  Buffer.of(0, Type.PTR, 0, Class.IN),
]);

const HEADER_OCTETS = 12;

/** The query has RD clear, so that it is never forwarded. Its id only has to differ from that of an earlier check. */
function queryOf(id: number): Buffer {
  return Buffer.concat([Buffer.of(id >> 8, id & 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0), QUESTION]);
}

/** The rcode of the reply to the query; undefined for any other packet. */
function rcodeOf(packet: Buffer, id: number): number | undefined {
  if (packet.length < HEADER_OCTETS + QUESTION.length || packet.readUInt16BE(0) !== id) return;
  const asked = packet.subarray(HEADER_OCTETS, HEADER_OCTETS + QUESTION.length);
  const isReply = packet.readUInt8(2) >= 0x80 && asked.equals(QUESTION);
  return isReply ? packet.readUInt8(3) & 0x0f : undefined;
}

/** The rcode of the reply; undefined if none arrives within `TIMEOUT_MS`. */
function ask({ address, port }: SocketAddress): Promise<number | undefined> {
  const id = Math.floor(Math.random() * 0x10000);
  const { createSocket } = process.getBuiltinModule('node:dgram');
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
      const rcode = rcodeOf(packet, id);
      if (rcode !== undefined) done(rcode);
    });
    socket.connect(port, address, () => socket.send(queryOf(id), () => {}));
  });
}

/** Whether the process, or without one the container's main process, is `soradns ambassador`. */
function isAmbassador(pid = '1'): boolean {
  try {
    const { readFileSync } = process.getBuiltinModule('node:fs');
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return words[words.findIndex((word) => /(^|\/)main\.js$/.test(word)) + 1] === 'ambassador';
  } catch {
    return false;
  }
}

/** Prints without Node's stream, which takes long to load. The exit code says it too, so a failure does not matter. */
function print(text: string): void {
  try {
    process.getBuiltinModule('node:fs').writeSync(1, text);
  } catch {}
}

const [, , pid] = process.argv;
const isOnlyProxy = isAmbassador(pid);
const addresses = isOnlyProxy ? [] : listeningAddresses(pid);
const rcodes = await Promise.all(addresses.map(ask));
const words = addresses.map((address, index) => {
  const rcode = rcodes[index];
  return `${printSocketAddress(address)} ${rcode === undefined ? 'no reply' : rcodeName(rcode)}`;
});
const none = isOnlyProxy ? 'an ambassador is running' : 'no server is listening';
print(`${words.length === 0 ? none : words.join(', ')}\n`);
const isHealthy = rcodes.every((rcode) => rcode !== undefined && rcode !== Rcode.SERVFAIL);
process.exitCode = isOnlyProxy || (words.length > 0 && isHealthy) ? 0 : 1;
