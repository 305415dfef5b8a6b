/** Our server, and our registrar, as the bench's children. */
import { fileURLToPath } from 'node:url';
import { freePort } from '../test/support/freePort.ts';
import { type Cores, type Running, start } from './process.ts';

/** What `npm run build` makes. */
export const program: string = fileURLToPath(new URL('../dist/main.js', import.meta.url));

/** One with a page of readiness. */
export interface Registrar extends Running {
  readonly httpPort: number;
}

export interface Soradns extends Registrar {
  readonly port: number;
}

/** Starts it; it need not be ready yet. */
export async function startSoradns(options: {
  port?: number;
  store: string;
  cwd: string;
  core?: Cores;
  /** More options of `serve`. */
  args?: readonly string[];
  /** Options of Node. */
  nodeArgs?: readonly string[];
}): Promise<Soradns> {
  const port = options.port ?? (await freePort());
  const httpPort = await freePort();
  const args = [
    ...[...(options.nodeArgs ?? []), program, 'serve'],
    ...['--store', options.store, '--addr', `127.0.0.1:${port}`],
    ...['--http', `127.0.0.1:${httpPort}`],
    ...(options.args ?? []),
  ];
  return { ...start([process.execPath, ...args], options), port, httpPort };
}

/** Starts a registrar that is no server. */
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

/** Waits for /readyz to say 200. */
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
  throw new Error(`not ready within ${timeoutMs} ms: ${server.output()}`);
}
