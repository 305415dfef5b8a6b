/**
 * The connection to the reader of dnstap's messages: opens it, agrees on the content (Frame Streams), and opens a new
 * one when it ends. It never waits for a reader that is slow: `hasRoom` says whether it takes more frames.
 */
import { connect, type Socket } from 'node:net';
import type { SocketAddress } from '../dns/address.ts';
import { backoffMs } from '../timing/backoff.ts';
import type { Clock, Timer } from '../timing/clock.ts';
import {
  acceptsDnstap,
  type ReaderFrame,
  ReaderFrames,
  readyFrame,
  startFrame,
  stopFrame,
} from './frameStream.ts';
import type { TapFrames } from './tapRing.ts';

export type TapTarget =
  | { readonly kind: 'unix'; readonly path: string }
  | ({ readonly kind: 'tcp' } & SocketAddress);

export interface TapConnectionOptions {
  readonly target: TapTarget;
  readonly clock: Clock;
  readonly random: () => number;
  /** The reader takes frames. */
  readonly onOpen: () => void;
  /** The connection has room again. */
  readonly onRoom: () => void;
  /** The connection ended, or could not be opened; `text` is for logs. */
  readonly onFailed: (text: string) => void;
}

/** How many frames the reader's kernel has taken, and how many were lost with a connection. */
export interface SentFrames {
  written: number;
  lost: number;
}

const BACKOFF = { minMs: 250, maxMs: 10_000 };
/** To connect and to agree. */
const OPEN_MS = 5_000;
/** A reader gets so long to take the last frames. */
const FINISH_MS = 1_000;
/** Frames that wait for the reader beyond the kernel's own buffer. */
const MOST_WAITING_OCTETS = 2 ** 20;

export class TapConnection {
  readonly frames: SentFrames = { written: 0, lost: 0 };
  readonly #options: TapConnectionOptions;
  #socket: Socket | undefined;
  #isOpen = false;
  #isClosed = false;
  #failures = 0;
  #timer: Timer | undefined;
  #onFinished = () => {};

  constructor(options: TapConnectionOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  get hasRoom(): boolean {
    return this.#isOpen && (this.#socket?.writableLength ?? 0) < MOST_WAITING_OCTETS;
  }

  /** Call this once. */
  open(): void {
    const { target } = this.#options;
    const socket =
      target.kind === 'unix'
        ? connect({ path: target.path })
        : connect({ host: target.address, port: target.port, noDelay: true });
    this.#socket = socket;
    const input = new ReaderFrames();
    socket.on('connect', () => socket.write(readyFrame()));
    socket.on('data', (chunk) => {
      input.push(chunk);
      for (let frame = input.next(); frame !== undefined; frame = input.next()) {
        const fault = this.#take(frame, socket);
        if (fault === undefined) continue;
        socket.destroy(new Error(fault));
        return;
      }
    });
    socket.on('drain', () => this.#options.onRoom());
    let cause = 'the reader closed the connection';
    socket.on('error', (error) => {
      cause = error.message;
    });
    socket.on('close', () => this.#ended(cause));
    this.#startTimer(OPEN_MS, () => socket.destroy(new Error('the reader does not answer')));
  }

  /** Sends frames. Call this only while `hasRoom`. */
  write({ octets, frames }: TapFrames): void {
    this.#socket?.write(octets, (error) => {
      if (error === undefined || error === null) this.frames.written += frames;
      else this.frames.lost += frames;
    });
  }

  /** Ends the stream in order, if the reader takes it in time. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#timer?.cancel();
    const socket = this.#socket;
    if (this.#isOpen && socket !== undefined) {
      await new Promise<void>((resolve) => {
        this.#onFinished = resolve;
        this.#startTimer(FINISH_MS, resolve);
        socket.write(stopFrame());
      });
      this.#timer?.cancel();
    }
    this.#isOpen = false;
    socket?.destroy();
  }

  /** What is wrong with the reader's frame, if anything. */
  #take(frame: ReaderFrame, socket: Socket): string | undefined {
    switch (frame.kind) {
      case 'accept':
        if (this.#isOpen) return undefined;
        if (!acceptsDnstap(frame.contentTypes)) return 'the reader does not take dnstap';
        this.#timer?.cancel();
        socket.write(startFrame());
        this.#isOpen = true;
        this.#failures = 0;
        this.#options.onOpen();
        return undefined;
      case 'finish':
        this.#onFinished();
        return undefined;
      case 'malformed':
        return 'the reader does not speak Frame Streams';
    }
  }

  #ended(cause: string): void {
    this.#timer?.cancel();
    this.#isOpen = false;
    this.#onFinished();
    if (this.#isClosed) return;
    this.#failures++;
    this.#options.onFailed(cause);
    const { random } = this.#options;
    this.#startTimer(backoffMs(this.#failures, BACKOFF, random), () => this.open());
  }

  #startTimer(delayMs: number, callback: () => void): void {
    this.#timer = this.#options.clock.startTimer(delayMs, callback);
  }
}
