/** A TCP client for tests: it writes any octets, and collects the framed replies. */
import { once } from 'node:events';
import net, { type Socket } from 'node:net';
import { until } from './until.ts';

export interface FramedClientOptions {
  readonly address?: string;
  readonly localAddress?: string;
  /** Keeps the client's half open after the server has closed its half. */
  readonly ignoreFin?: boolean;
  /** Reads nothing until `readOn`. */
  readonly paused?: boolean;
}

export class FramedClient {
  readonly socket: Socket;
  readonly replies: Buffer[] = [];
  #buffered: Buffer = Buffer.alloc(0);
  #ended = false;

  private constructor(socket: Socket, paused: boolean) {
    this.socket = socket;
    socket.on('error', () => {}); // a reset is one of the outcomes under test
    socket.on('end', () => {
      this.#ended = true;
    });
    if (!paused) this.readOn();
  }

  static async connect(port: number, options: FramedClientOptions = {}): Promise<FramedClient> {
    const { address = '127.0.0.1', localAddress, ignoreFin = false, paused = false } = options;
    const socket = net.connect({
      port,
      host: address,
      allowHalfOpen: ignoreFin,
      noDelay: true,
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    const client = new FramedClient(socket, paused);
    await once(socket, 'connect');
    return client;
  }

  /** The server has closed its half, or reset the connection. */
  get hungUp(): boolean {
    return this.#ended || this.socket.destroyed;
  }

  readOn(): void {
    this.socket.on('data', (chunk: Buffer) => this.#collect(chunk));
  }

  send(...messages: Uint8Array[]): void {
    this.socket.write(framed(...messages));
  }

  async untilReplies(count: number, timeoutMs?: number): Promise<void> {
    await until(`${count} replies came`, () => this.replies.length >= count, timeoutMs);
  }

  async untilHungUp(timeoutMs?: number): Promise<void> {
    await until('the server hung up', () => this.hungUp, timeoutMs);
  }

  #collect(chunk: Buffer): void {
    this.#buffered = Buffer.concat([this.#buffered, chunk]);
    while (this.#buffered.length >= 2) {
      const end = 2 + this.#buffered.readUInt16BE(0);
      if (this.#buffered.length < end) return;
      this.replies.push(this.#buffered.subarray(2, end));
      this.#buffered = this.#buffered.subarray(end);
    }
  }
}

export function framed(...messages: Uint8Array[]): Buffer {
  const parts = messages.flatMap((message) => {
    const length = Buffer.alloc(2);
    length.writeUInt16BE(message.length);
    return [length, message];
  });
  return Buffer.concat(parts);
}

/** A message of at least a header: the id, then zeros. */
export function messageWithId(id: number, octets = 12): Buffer {
  const message = Buffer.alloc(octets);
  message.writeUInt16BE(id);
  return message;
}

export function idOf(message: Uint8Array): number {
  return Buffer.from(message).readUInt16BE(0);
}
