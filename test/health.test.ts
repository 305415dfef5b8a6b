import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { decodeMessage } from '../src/dns/decode.ts';
import type { Question } from '../src/dns/message.ts';
import { printName } from '../src/dns/name.ts';
import { type CliProcess, startCli } from './support/cliProcess.ts';
import { freePort } from './support/freePort.ts';

const SERVE = ['serve', '--http', 'off', '--addr', '127.0.0.1:0', '--addr', '127.0.0.2:0'];

async function serving(store: string, body: (server: CliProcess) => void): Promise<void> {
  const server = startCli([...SERVE, '--store', store]);
  try {
    await server.logged('serving');
    body(server);
  } finally {
    await server.end('SIGKILL');
  }
}

function check(pid: number): { code: number | null; printed: string } {
  const program = fileURLToPath(new URL('../src/health.ts', import.meta.url));
  const args = ['--import', 'tsx', program, String(pid)];
  const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  return { code: status, printed: stdout.trim() };
}

/** Runs the check beside a server in this process, which answers each query with the packets that `answer` returns. */
async function checkAgainst(answer: (query: Buffer) => readonly Buffer[]) {
  const port = await freePort();
  const tcp = createServer().listen(port, '127.0.0.1');
  const udp = createSocket('udp4').bind(port, '127.0.0.1');
  udp.on('message', (query, { port: from, address }) => {
    for (const packet of answer(query)) udp.send(packet, from, address);
  });
  await once(udp, 'listening');
  try {
    const program = fileURLToPath(new URL('../src/health.ts', import.meta.url));
    const child = spawn(process.execPath, ['--import', 'tsx', program, String(process.pid)]);
    let printed = '';
    child.stdout.on('data', (text) => {
      printed += text;
    });
    const [code] = await once(child, 'close');
    return { code, printed: printed.trim(), port };
  } finally {
    udp.close();
    tcp.close();
  }
}

/** The query as a reply with another octet in one place. */
function replyTo(query: Buffer, rcode: number, changed?: number): Buffer {
  const reply = Buffer.from(query);
  reply.writeUInt8(0x80, 2);
  reply.writeUInt8(rcode, 3);
  if (changed !== undefined) reply.writeUInt8(reply.readUInt8(changed) ^ 1, changed);
  return reply;
}

test('The health check asks for 1.0.0.127.in-addr.arpa, and ignores packets that are not the reply', async () => {
  const queries: Buffer[] = [];
  const { code, printed, port } = await checkAgainst((query) => {
    queries.push(query);
    const question = query.length - 5;
    const others = [replyTo(query, 2, 0), replyTo(query, 2, 1), replyTo(query, 2, question)];
    return [query, query.subarray(0, 11), ...others, replyTo(query, 3)];
  });
  assert.deepEqual({ code, printed }, { code: 0, printed: `127.0.0.1:${port} NXDOMAIN` });
  const [query = Buffer.alloc(0)] = queries;
  const message = decodeMessage(query);
  assert.equal(message?.recursionDesired, false);
  assert.deepEqual(message.questions.map(printQuestion), ['1.0.0.127.in-addr.arpa. 12 1']);
});

test('The health check fails for a reply with SERVFAIL', async () => {
  const { code, printed, port } = await checkAgainst((query) => [replyTo(query, 2)]);
  assert.deepEqual({ code, printed }, { code: 1, printed: `127.0.0.1:${port} SERVFAIL` });
});

const printQuestion = ({ qname, qtype, qclass }: Question) =>
  `${printName(qname)} ${qtype} ${qclass}`;

const places = (line: Readonly<Record<string, unknown>>): string[] => line.dns as string[];

test('The health check passes for a server that has read its store and queries each of the server’s addresses', () =>
  serving('memory:', (server) => {
    const [line = {}] = server.lines().filter(({ msg }) => msg === 'serving');
    const { code, printed } = check(server.pid);
    assert.equal(code, 0, printed);
    const expected = places(line).map((place) => `${place} REFUSED`);
    assert.deepEqual(printed.split(', ').sort(), expected.sort());
  }));

test('The health check fails for a server that has not read its store', () =>
  serving('etcd://127.0.0.1:1', (server) => {
    const { code, printed } = check(server.pid);
    assert.equal(code, 1);
    assert.match(printed, /^\S+ SERVFAIL, \S+ SERVFAIL$/);
  }));

test('The health check fails for a server that does not answer', () =>
  serving('memory:', (server) => {
    process.kill(server.pid, 'SIGSTOP');
    const { code, printed } = check(server.pid);
    assert.equal(code, 1);
    assert.match(printed, /^\S+ no reply, \S+ no reply$/);
  }));

test('The health check fails where no server listens', () => {
  assert.deepEqual(check(process.pid), { code: 1, printed: 'no server is listening' });
});

test('The health check passes for an ambassador, which answers no DNS', async () => {
  const route = `127.0.0.1:${await freePort()}=127.0.0.1:1`;
  const ambassador = startCli(['ambassador', route]);
  try {
    await ambassador.logged('carrying connections');
    assert.deepEqual(check(ambassador.pid), { code: 0, printed: 'an ambassador is running' });
  } finally {
    await ambassador.end('SIGKILL');
  }
});
