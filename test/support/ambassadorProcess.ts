/** `soradns ambassador` as a process, with backends and clients on loopback addresses. */
import { once } from 'node:events';
import { connect, createServer, type NetConnectOpts } from 'node:net';
import type { TestContext } from 'node:test';
import { type CliProcess, startCli } from './cliProcess.ts';

/** A server that answers each connection with its name; returns its port. */
export async function serveName(
  context: TestContext,
  name: string,
  address = '127.0.0.1',
): Promise<number> {
  const server = createServer((socket) => void socket.on('error', () => {}).end(`${name}\n`));
  context.after(() => server.close());
  server.listen(0, address);
  await once(server, 'listening');
  return (server.address() as { port: number }).port;
}

/** What a client gets from a port of this host, or from a Unix socket. Rejects if the connection fails. */
export function readAll(from: number | NetConnectOpts): Promise<string> {
  const options = typeof from === 'number' ? { port: from, host: '127.0.0.1' } : from;
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(options);
    socket.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    socket.on('close', () => resolve(text.trim()));
    socket.on('error', reject);
  });
}

/** Starts an ambassador, and waits until it carries connections. */
export async function startAmbassador(
  context: TestContext,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<CliProcess> {
  const ambassador = startCli(['ambassador', ...args], env);
  context.after(() => ambassador.end('SIGKILL'));
  await ambassador.logged('carrying connections');
  return ambassador;
}
