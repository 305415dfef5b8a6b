/** A TCP proxy that simulates network faults. Each fault applies to existing and to new connections. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort } from './freePort.ts';

export type Direction = 'toServer' | 'toClient';

export interface FaultyProxy {
  /** `host:port` for clients. */
  readonly endpoint: string;
  /** Number of connected clients. */
  connections(): number;
  /** Number of cuts so far. */
  cuts(): number;
  /** Closes all connections once, after that many more octets in that direction; the last chunk is shortened to fit. */
  cutAfter(direction: Direction, octets: number): void;
  /** Delays every chunk by `delayMs()`; the order is kept. */
  delay(delayMs: (() => number) | undefined): void;
  /**
   * Accepts and reads, but passes nothing on in either direction. A connection that has lost data stays silent for
   * good, because TCP never delivers data behind a gap.
   */
  blackhole(on: boolean): void;
  /** Closes the listener, so that new connections are refused. */
  refuse(on: boolean): Promise<void>;
  /** Resets all connections. */
  reset(): void;
  close(): Promise<void>;
}

/** Starts a proxy on a free loopback port in front of `host:port`. */
export async function startProxy(target: string): Promise<FaultyProxy> {
  const proxy = new TcpProxy(target);
  await proxy.listen(await freePort());
  return proxy;
}

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  /** Whether the connection has lost data. */
  hasGap: boolean;
}

class TcpProxy implements FaultyProxy {
  readonly #host: string;
  readonly #port: number;
  readonly #pairs = new Set<Pair>();
  readonly #passed = { toServer: 0, toClient: 0 };
  #cut: { direction: Direction; octets: number } | undefined;
  #delayMs: (() => number) | undefined;
  #isBlackhole = false;
  #cuts = 0;
  #listenPort = 0;
  #listener: Server | undefined;

  constructor(target: string) {
    const colon = target.lastIndexOf(':');
    this.#host = target.slice(0, colon);
    this.#port = Number(target.slice(colon + 1));
  }

  get endpoint(): string {
    return `127.0.0.1:${this.#listenPort}`;
  }

  async listen(port: number): Promise<void> {
    const listener = createServer((client) => this.#onClient(client));
    this.#listener = listener.listen(port, '127.0.0.1');
    await once(listener, 'listening');
    this.#listenPort = port;
  }

  cuts(): number {
    return this.#cuts;
  }

  connections(): number {
    return this.#pairs.size;
  }

  cutAfter(direction: Direction, octets: number): void {
    this.#passed.toServer = 0;
    this.#passed.toClient = 0;
    this.#cut = { direction, octets };
  }

  delay(delayMs: (() => number) | undefined): void {
    this.#delayMs = delayMs;
  }

  blackhole(on: boolean): void {
    this.#isBlackhole = on;
  }

  async refuse(on: boolean): Promise<void> {
    const listener = this.#listener;
    if (on && listener !== undefined) {
      this.#listener = undefined;
      listener.close();
    }
    if (!on && listener === undefined) await this.listen(this.#listenPort);
  }

  reset(): void {
    for (const { client, server } of this.#pairs) {
      reset(client);
      reset(server);
    }
  }

  async close(): Promise<void> {
    await this.refuse(true);
    this.reset();
  }

  #onClient(client: Socket): void {
    const server = connect(this.#port, this.#host);
    const pair: Pair = { client, server, hasGap: false };
    this.#pairs.add(pair);
    const end = (): void => {
      client.destroy();
      server.destroy();
      this.#pairs.delete(pair);
    };
    for (const socket of [client, server]) {
      socket.setNoDelay();
      socket.on('error', end).on('close', end);
    }
    this.#pipe(pair, client, server, 'toServer');
    this.#pipe(pair, server, client, 'toClient');
  }

  #pipe(pair: Pair, from: Socket, to: Socket, direction: Direction): void {
    // Each timer passes on the oldest chunk, not its own, so that no chunk overtakes another.
    const late: Array<() => void> = [];
    from.on('data', (chunk) => {
      pair.hasGap ||= this.#isBlackhole;
      if (pair.hasGap) return;
      const { part, isLast } = this.#shorten(chunk, direction);
      const pass = (): void => {
        pair.hasGap ||= this.#isBlackhole;
        if (pair.hasGap || to.destroyed) return;
        to.write(part);
        if (isLast) this.#onCut();
      };
      const waitMs = this.#delayMs?.() ?? 0;
      if (waitMs === 0 && late.length === 0) return pass();
      late.push(pass);
      setTimeout(() => late.shift()?.(), waitMs);
    });
  }

  #shorten(chunk: Buffer, direction: Direction): { part: Buffer; isLast: boolean } {
    const cut = this.#cut?.direction === direction ? this.#cut : undefined;
    const room = cut === undefined ? Infinity : cut.octets - this.#passed[direction];
    const part = room < chunk.length ? chunk.subarray(0, room) : chunk;
    this.#passed[direction] += part.length;
    const isLast = room <= chunk.length;
    if (isLast) this.#cut = undefined;
    return { part, isLast };
  }

  #onCut(): void {
    this.#cuts++;
    // The client's connection is closed and not reset, so that the last octets arrive.
    for (const { client, server } of this.#pairs) {
      client.destroySoon();
      reset(server);
    }
  }
}

/**
 * Resets the socket; destroys it after `end`, because Node never closes a socket that is reset while it sends its FIN.
 */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
