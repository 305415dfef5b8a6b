/** Let's Encrypt's test server, which asks one DNS server for the records of challenges. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { printSocketAddress, type SocketAddress } from '../../src/dns/address.ts';
import { freePort } from './freePort.ts';
import { until } from './until.ts';

export interface Pebble {
  /** The URL of its directory. */
  readonly directory: string;
  readonly ca: Buffer;
  stop(): Promise<void>;
}

/** Starts pebble, which asks `dns`. `certificate` and `key` are PEM files for 127.0.0.1; `folder` is temporary. */
export async function startPebble(
  dns: SocketAddress,
  folder: string,
  files: { readonly certificate: string; readonly key: string; readonly ca: string },
): Promise<Pebble> {
  const [port, managementPort] = [await freePort(), await freePort()];
  const config = {
    listenAddress: `127.0.0.1:${port}`,
    managementListenAddress: `127.0.0.1:${managementPort}`,
    certificate: files.certificate,
    privateKey: files.key,
    httpPort: 5002,
    tlsPort: 5001,
    ocspResponderURL: '',
    externalAccountBindingRequired: false,
  };
  const configFile = join(folder, 'pebble.json');
  writeFileSync(configFile, JSON.stringify({ pebble: config }));
  const child: ChildProcess = spawn(
    'pebble',
    ['-config', configFile, '-dnsserver', printSocketAddress(dns), '-strict'],
    { env: { ...process.env, PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '0' } },
  );
  const exited = once(child, 'exit');
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      output += chunk;
    });
  try {
    // Pebble logs its address before it listens there.
    await until('pebble listens', () => accepts(port));
  } catch (error) {
    child.kill('SIGKILL');
    throw new Error(`pebble did not start: ${output}`, { cause: error });
  }
  return {
    directory: `https://127.0.0.1:${port}/dir`,
    ca: readFileSync(files.ca),
    stop: async () => {
      child.kill('SIGTERM');
      await exited;
    },
  };
}

/** Whether a connection to that port of 127.0.0.1 is accepted. */
async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
