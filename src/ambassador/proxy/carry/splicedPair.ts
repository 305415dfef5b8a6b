/**
 * One connection whose octets the kernel moves: what it does when one of its two sockets can be read, can be written or
 * has failed. It moves octets from a socket into a pipe and from the pipe into the other socket.
 *
 * Invariant of each way, whenever `pump` has returned:
 * - A way has a pipe only while octets are in it, and these are all the octets that it has read and not passed on.
 * - It reads only into an empty pipe. So at most `PIPE_OCTETS` wait, and "try again" tells that the source is empty.
 * - It ends its target's half once, after the last octet of its source.
 * - The kernel will report what it waits for: its source is empty, or its target is full while it has octets.
 *   Otherwise `pump` returns `more` or `noPipe`, and must be called again.
 * - A failed source is never waited for: what it sent before is passed on if there is room, then the pair is lost.
 */

/** A new pipe's room. */
export const PIPE_OCTETS = 65_536;
/** Fills of a pipe that a pair may use before other pairs have their turn: up to 1 MiB each way. */
const FILLS = 16;

export interface Pipe {
  readonly readEnd: number;
  readonly writeEnd: number;
}

/** What a pair needs of the system. */
export interface SpliceSystem {
  /** Moves octets without waiting. Returns their number, 0 at the end of a socket, or the negative errno. */
  splice(from: number, to: number, octets: number): number;
  /** Ends the half of the socket that sends. */
  endHalf(socket: number): void;
  /** An empty pipe; undefined if there is none now. */
  takePipe(): Pipe | undefined;
  /** Takes back an empty pipe, or closes one with octets in it. */
  givePipe(pipe: Pipe, isEmpty: boolean): void;
  readonly EAGAIN: number;
}

export type PumpOutcome =
  /** The kernel reports when there is more to do. */
  | 'waits'
  /** Call again: other pairs may go first. */
  | 'more'
  /** Call again when there may be a pipe. */
  | 'noPipe'
  /** Both sides have ended, and all octets are passed on. */
  | 'ended'
  /** One side has failed. */
  | 'lost';

/** What the kernel reports about a socket. */
export interface SocketReadiness {
  readonly canRead: boolean;
  readonly canWrite: boolean;
  readonly hasFailed: boolean;
}

export class SplicedPair {
  readonly #toBackend: Way;
  readonly #toClient: Way;

  /** `onPassed` hears of octets that the target's kernel has taken. */
  constructor(
    system: SpliceSystem,
    client: number,
    backend: number,
    onPassed: (toBackend: number, toClient: number) => void,
  ) {
    this.#toBackend = new Way(system, client, backend, (octets) => onPassed(octets, 0));
    this.#toClient = new Way(system, backend, client, (octets) => onPassed(0, octets));
  }

  noteClient(readiness: SocketReadiness): void {
    note(readiness, this.#toBackend, this.#toClient);
  }

  noteBackend(readiness: SocketReadiness): void {
    note(readiness, this.#toClient, this.#toBackend);
  }

  /** Does what can be done now. After `ended` or `lost` only `release` may be called. */
  pump(): PumpOutcome {
    const one = this.#toBackend.pump();
    if (one === 'lost') return one;
    const other = this.#toClient.pump();
    if (other === 'lost') return other;
    if (one === 'ended') return other;
    if (other === 'ended' || one === other) return one;
    return one === 'more' || other === 'more' ? 'more' : 'noPipe';
  }

  /** Gives back what it holds. */
  release(): void {
    this.#toBackend.release();
    this.#toClient.release();
  }
}

function note({ canRead, canWrite, hasFailed }: SocketReadiness, from: Way, to: Way): void {
  if (canRead) from.canRead = true;
  if (canWrite) to.canWrite = true;
  if (hasFailed) from.hasFailed = true;
}

class Way {
  /** What the kernel has reported, and no call has disproved since. */
  canRead = false;
  canWrite = false;
  hasFailed = false;
  readonly #system: SpliceSystem;
  readonly #from: number;
  readonly #to: number;
  readonly #onPassed: (octets: number) => void;
  #pipe: Pipe | undefined;
  #octetsInPipe = 0;
  #isOver = false;

  constructor(system: SpliceSystem, from: number, to: number, onPassed: (octets: number) => void) {
    this.#system = system;
    this.#from = from;
    this.#to = to;
    this.#onPassed = onPassed;
  }

  pump(): PumpOutcome {
    const outcome = this.#move();
    if (this.#octetsInPipe === 0) this.release();
    // Neither an end nor room for octets can be expected to tell of the failure.
    return this.hasFailed && (outcome === 'waits' || outcome === 'ended') ? 'lost' : outcome;
  }

  release(): void {
    if (this.#pipe === undefined) return;
    this.#system.givePipe(this.#pipe, this.#octetsInPipe === 0);
    this.#pipe = undefined;
  }

  #move(): PumpOutcome {
    for (let fills = 0; fills < FILLS; fills++) {
      const blocked = this.#octetsInPipe === 0 ? this.#fill() : undefined;
      const outcome = blocked ?? this.#empty();
      if (outcome !== undefined) return outcome;
    }
    return 'more';
  }

  /** Returns undefined if the pipe has octets now. */
  #fill(): PumpOutcome | undefined {
    if (this.#isOver) return 'ended';
    if (!this.canRead) return 'waits';
    this.#pipe ??= this.#system.takePipe();
    if (this.#pipe === undefined) return 'noPipe';
    const octets = this.#system.splice(this.#from, this.#pipe.writeEnd, PIPE_OCTETS);
    if (octets > 0) {
      this.#octetsInPipe = octets;
      return undefined;
    }
    if (octets === 0) {
      this.#isOver = true;
      this.#system.endHalf(this.#to);
      return 'ended';
    }
    this.canRead = false;
    return octets === -this.#system.EAGAIN ? 'waits' : 'lost';
  }

  /** Returns undefined if the pipe is empty now. */
  #empty(): PumpOutcome | undefined {
    while (this.#octetsInPipe > 0) {
      if (!this.canWrite || this.#pipe === undefined) return 'waits';
      const octets = this.#system.splice(this.#pipe.readEnd, this.#to, this.#octetsInPipe);
      if (octets > 0) {
        this.#octetsInPipe -= octets;
        this.#onPassed(octets);
      } else if (octets === -this.#system.EAGAIN) this.canWrite = false;
      else return 'lost';
    }
    return undefined;
  }
}
