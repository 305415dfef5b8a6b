/** A TCP proxy that does to connections what bad networks do. Each fault is set for the connections there are and to come. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort } from './freePort.ts';

export type Direction = 'toServer' | 'toClient';

export interface FaultyProxy {
  /** `host:port` for clients. */
  readonly endpoint: string;
  /** How many clients are connected. */
  connections(): number;
  /** How many cuts have happened. */
  cuts(): number;
  /** Ends all connections, once, when so many more octets went that way in all; the last piece is cut to fit. */
  cutAfter(direction: Direction, octets: number): void;
  /** Holds every piece back for `delayMs()`; order is kept. */
  delay(delayMs: (() => number) | undefined): void;
  /**
   * Accepts, reads, and passes nothing on in either direction. A connection of which something was swallowed stays dead
   * for good, and nobody is told: TCP would never go on behind a gap.
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
  /** A part of what was said on it is missing. */
  hasGap: boolean;
}

class TcpProxy implements FaultyProxy {
  readonly #host: string;
  readonly #port: number;
  readonly #pairs = new Set<Pair>();
  readonly #passed = { toServer: 0, toClient: 0 };
  #cut: { direction: Direction; octets: number } | undefined;
  #delayMs: (() => number) | undefined;
  #swallow = false;
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
    this.#swallow = on;
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
    // A timer lets go of the oldest piece, whichever it was started for: none may overtake another.
    const late: Array<() => void> = [];
    from.on('data', (piece) => {
      pair.hasGap ||= this.#swallow;
      if (pair.hasGap) return;
      const { part, isLast } = this.#shorten(piece, direction);
      const pass = (): void => {
        pair.hasGap ||= this.#swallow;
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

  #shorten(piece: Buffer, direction: Direction): { part: Buffer; isLast: boolean } {
    const cut = this.#cut?.direction === direction ? this.#cut : undefined;
    const room = cut === undefined ? Infinity : cut.octets - this.#passed[direction];
    const part = room < piece.length ? piece.subarray(0, room) : piece;
    this.#passed[direction] += part.length;
    const isLast = room <= piece.length;
    if (isLast) this.#cut = undefined;
    return { part, isLast };
  }

  #onCut(): void {
    this.#cuts++;
    // Ended, not reset, so that the last octets arrive.
    for (const { client, server } of this.#pairs) {
      client.destroySoon();
      reset(server);
    }
  }
}

/** Node never closes a socket that is reset while its own end is being sent. */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
