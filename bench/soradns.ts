/** soradns servers and registrars as child processes of the benchmarks. */
import { fileURLToPath } from 'node:url';
import { freePort } from '../test/support/freePort.ts';
import { type Cores, type Running, start } from './process.ts';

/** The built program. */
export const program: string = fileURLToPath(new URL('../dist/main.js', import.meta.url));

/** A process with /readyz on `httpPort`. */
export interface Registrar extends Running {
  readonly httpPort: number;
}

export interface Soradns extends Registrar {
  readonly port: number;
}

/** Starts a server; may resolve before it is ready. */
export async function startSoradns(options: {
  port?: number;
  store: string;
  cwd: string;
  core?: Cores;
  /** More options of `serve`. */
  args?: readonly string[];
  /** Options of Node. */
  nodeArgs?: readonly string[];
  /** Default: this build's. */
  program?: string;
}): Promise<Soradns> {
  const port = options.port ?? (await freePort());
  const httpPort = await freePort();
  const args = [
    ...[...(options.nodeArgs ?? []), options.program ?? program, 'serve'],
    ...['--store', options.store, '--addr', `127.0.0.1:${port}`],
    ...['--http', `127.0.0.1:${httpPort}`],
    ...(options.args ?? []),
  ];
  return { ...start([process.execPath, ...args], options), port, httpPort };
}

/** Starts `soradns register`; may resolve before it is ready. */
export async function startRegistrar(options: {
  store: string;
  cwd: string;
  /** More options of `register`. */
  args: readonly string[];
}): Promise<Registrar> {
  const httpPort = await freePort();
  const args = [
    ...[program, 'register', '--store', options.store],
    ...['--http', `127.0.0.1:${httpPort}`, ...options.args],
  ];
  return { ...start([process.execPath, ...args], options), httpPort };
}

/** Waits until /readyz returns 200. */
export async function untilReady(server: Registrar, timeoutMs = 120_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline && !server.hasEnded()) {
    const response = await fetch(`http://127.0.0.1:${server.httpPort}/readyz`).catch(
      () => undefined,
    );
    await response?.arrayBuffer();
    if (response?.status === 200) return;
    await new Promise((done) => setTimeout(done, 5));
  }
  const problem = server.hasEnded() ? 'exited' : `is not ready within ${timeoutMs} ms`;
  throw new Error(`soradns ${problem}: ${server.output()}`);
}
