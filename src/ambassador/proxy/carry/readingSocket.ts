/**
 * Sockets that read into one buffer of this process. By default Node gives each read 64 KiB of new memory, and the
 * collector of a large process takes as long to free it as the octets take to pass.
 */
import net, { type OnReadOpts, type Socket, type TcpNetConnectOpts } from 'node:net';

/** As much as Node reads at a time. */
const CHUNK_OCTETS = 64 * 1024;
/** Chunks that wait for their next use. */
const SPARE_CHUNKS = 16;

export interface ReadingSocket {
  readonly socket: Socket;
  /** Takes octets, which are valid until it returns. If it returns false, the socket pauses. */
  onOctets: (octets: Uint8Array) => boolean;
}

const readBuffer = Buffer.allocUnsafeSlow(CHUNK_OCTETS);
const spareChunks: Buffer[] = [];

/** Copies octets that a socket has read. */
export function takeChunk(octets: Uint8Array): Buffer {
  const chunk = spareChunks.pop() ?? Buffer.allocUnsafeSlow(CHUNK_OCTETS);
  chunk.set(octets);
  return chunk;
}

/** Takes the copy back once it is sent. */
export function giveChunk(chunk: Buffer): void {
  if (spareChunks.length < SPARE_CHUNKS) spareChunks.push(chunk);
}

export function connectReading(options: TcpNetConnectOpts): ReadingSocket {
  return reading((onread) => net.connect({ ...options, onread }));
}

/** Takes over an accepted socket that is paused; the new one is paused too. */
export function readingFrom(accepted: Socket): ReadingSocket {
  const owner = accepted as { _handle?: object | null };
  const { _handle: handle } = owner;
  if (typeof handle !== 'object' || handle === null) {
    const source: ReadingSocket = { socket: accepted, onOctets: () => false };
    accepted.on('data', (octets) => {
      if (!source.onOctets(octets)) accepted.pause();
    });
    return source;
  }
  // A server has no such option for the sockets that it accepts, but it makes them of a handle in the same way.
  const options = { handle, pauseOnCreate: true, allowHalfOpen: true };
  const source = reading((onread) => new net.Socket({ ...options, onread } as object));
  owner._handle = null;
  return source;
}

function reading(open: (onread: OnReadOpts) => Socket): ReadingSocket {
  let source: ReadingSocket | undefined;
  const callback = (length: number): boolean =>
    source?.onOctets(readBuffer.subarray(0, length)) ?? false;
  source = { socket: open({ buffer: readBuffer, callback }), onOctets: () => false };
  return source;
}
