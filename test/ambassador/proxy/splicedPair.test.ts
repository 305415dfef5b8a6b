/** The moves of one spliced connection, on a model of the kernel that does what a real one may do. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import {
  type Pipe,
  type PumpOutcome,
  SplicedPair,
  type SpliceSystem,
} from '../../../src/ambassador/proxy/carry/splicedPair.ts';

const EAGAIN = 11;
const ECONNRESET = 104;
const EPIPE = 32;
const CLIENT = 1;
const BACKEND = 2;
/** Octets that a model's pipe and a model's socket hold. */
const PIPE_ROOM = 24;
const SOCKET_ROOM = 40;

/** The proxy's end of a connection. */
class ModelSocket {
  /** Octets of the peer that no way has read, and octets that the peer has not received yet. */
  readonly arrived: number[] = [];
  readonly leaving: number[] = [];
  readonly received: number[] = [];
  sent = 0;
  hasPeerEnded = false;
  hasEnded = false;
  isReset = false;
  /** The kernel reports a change once. */
  event = { canRead: false, canWrite: true, hasFailed: false };

  send(octets: number): void {
    if (this.isReset || this.hasPeerEnded) return;
    for (let i = 0; i < octets; i++) this.arrived.push(this.sent++);
    this.event.canRead = true;
  }

  end(): void {
    this.hasPeerEnded = true;
    this.event.canRead = true;
  }

  receive(octets: number): void {
    const wasFull = this.leaving.length >= SOCKET_ROOM;
    this.received.push(...this.leaving.splice(0, octets));
    if (wasFull && this.leaving.length < SOCKET_ROOM) this.event.canWrite = true;
  }

  reset(): void {
    this.isReset = true;
    this.leaving.length = 0;
    this.event = { canRead: true, canWrite: true, hasFailed: true };
  }
}

class ModelKernel implements SpliceSystem {
  readonly EAGAIN = EAGAIN;
  readonly client = new ModelSocket();
  readonly backend = new ModelSocket();
  readonly pipes = new Map<number, number[]>();
  readonly #cuts: () => number;
  pipesLeft = 2;
  #lastPipe = 100;

  /** `cuts`: how many octets the next call may move at most. */
  constructor(cuts: () => number) {
    this.#cuts = cuts;
  }

  splice(from: number, to: number, octets: number): number {
    const most = Math.min(octets, this.#cuts());
    const pipe = this.pipes.get(to);
    if (pipe !== undefined) return this.#read(this.#socket(from), pipe, most);
    const held = this.pipes.get(from);
    assert.ok(held !== undefined, 'octets move between a socket and a pipe');
    return this.#write(held, this.#socket(to), most);
  }

  endHalf(socket: number): void {
    assert.equal(this.#socket(socket).hasEnded, false, 'a half ends once');
    this.#socket(socket).hasEnded = true;
  }

  takePipe(): Pipe | undefined {
    if (this.pipesLeft === 0) return undefined;
    this.pipesLeft -= 1;
    this.#lastPipe += 1;
    this.pipes.set(this.#lastPipe, []);
    return { readEnd: this.#lastPipe, writeEnd: this.#lastPipe };
  }

  givePipe({ readEnd }: Pipe, isEmpty: boolean): void {
    assert.equal(this.pipes.get(readEnd)?.length === 0, isEmpty);
    assert.ok(this.pipes.delete(readEnd));
    this.pipesLeft += 1;
  }

  #socket(fd: number): ModelSocket {
    assert.ok(fd === CLIENT || fd === BACKEND);
    return fd === CLIENT ? this.client : this.backend;
  }

  #read(socket: ModelSocket, pipe: number[], most: number): number {
    const room = PIPE_ROOM - pipe.length;
    if (room === 0) return -EAGAIN;
    const octets = socket.arrived.splice(0, Math.min(most, room));
    pipe.push(...octets);
    if (octets.length > 0) return octets.length;
    if (socket.isReset) return -ECONNRESET;
    return socket.hasPeerEnded ? 0 : -EAGAIN;
  }

  #write(pipe: number[], socket: ModelSocket, most: number): number {
    assert.equal(socket.hasEnded, false, 'nothing is sent after the end');
    if (socket.isReset) return -EPIPE;
    const octets = pipe.splice(0, Math.min(most, SOCKET_ROOM - socket.leaving.length));
    socket.leaving.push(...octets);
    return octets.length > 0 ? octets.length : -EAGAIN;
  }
}

type Action =
  | { readonly kind: 'send' | 'receive'; readonly side: 'client' | 'backend'; readonly n: number }
  | { readonly kind: 'end' | 'reset'; readonly side: 'client' | 'backend' }
  | { readonly kind: 'pipes'; readonly n: number };

const side = fc.constantFrom('client' as const, 'backend' as const);
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('send'), side, n: fc.nat(90) }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('receive'), side, n: fc.nat(60) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('end'), side }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reset'), side }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('pipes'), n: fc.nat(2) }) },
) as fc.Arbitrary<Action>;

class Model {
  readonly kernel: ModelKernel;
  readonly pair: SplicedPair;
  readonly passed = { toBackend: 0, toClient: 0 };
  outcome: PumpOutcome = 'waits';
  #withheldPipes = 0;

  constructor(cuts: () => number) {
    this.kernel = new ModelKernel(cuts);
    this.pair = new SplicedPair(this.kernel, CLIENT, BACKEND, (toBackend, toClient) => {
      this.passed.toBackend += toBackend;
      this.passed.toClient += toClient;
    });
  }

  get isOver(): boolean {
    return this.outcome === 'ended' || this.outcome === 'lost';
  }

  act(one: Action): void {
    const { kernel } = this;
    if (one.kind === 'pipes') {
      kernel.pipesLeft += this.#withheldPipes;
      this.#withheldPipes = Math.min(one.n, kernel.pipesLeft);
      kernel.pipesLeft -= this.#withheldPipes;
      return;
    }
    const socket = kernel[one.side];
    if (one.kind === 'send') socket.send(one.n);
    else if (one.kind === 'receive') socket.receive(one.n);
    else if (one.kind === 'end') socket.end();
    else socket.reset();
  }

  /** Reports events as the kernel does, and lets the pair do what it can. */
  run(): void {
    const { client, backend } = this.kernel;
    this.pair.noteClient(client.event);
    this.pair.noteBackend(backend.event);
    for (const socket of [client, backend])
      socket.event = { canRead: false, canWrite: false, hasFailed: false };
    do this.outcome = this.pair.pump();
    while (this.outcome === 'more');
    if (this.isOver) this.pair.release();
    this.check();
  }

  check(): void {
    const { kernel, outcome } = this;
    const { client, backend, pipes } = kernel;
    for (const [, octets] of pipes) assert.ok(octets.length > 0, 'a pipe is held for octets only');
    assert.ok(pipes.size <= 2);
    for (const [from, to, octets] of [
      [client, backend, this.passed.toBackend],
      [backend, client, this.passed.toClient],
    ] as const) {
      const got = [...to.received, ...to.leaving];
      assert.ok(
        got.every((octet, i) => octet === i),
        'octets keep their order',
      );
      if (!to.isReset) assert.equal(octets, got.length);
      if (outcome === 'waits') {
        const held = from.sent - from.arrived.length - octets;
        const isStuck = held > 0 && to.leaving.length === SOCKET_ROOM;
        assert.ok(isStuck || (from.arrived.length === 0 && held === 0), 'it waits for an event');
        assert.ok(isStuck || from.hasPeerEnded === to.hasEnded, 'an end is passed on');
        assert.equal(from.isReset, false, 'a failed side is not waited for');
      }
    }
    if (outcome === 'lost') assert.ok(client.isReset || backend.isReset);
    if (outcome === 'ended') assert.ok(client.hasEnded && backend.hasEnded);
    if (this.isOver) assert.equal(pipes.size, 0, 'no pipe is left');
  }
}

test('A pair keeps the order of octets, keeps no empty pipe, and waits only for events that the kernel will report', () => {
  const runs = fc.property(
    fc.array(action, { maxLength: 60 }),
    fc.infiniteStream(fc.integer({ min: 1, max: 50 })),
    (actions, cuts) => {
      const model = new Model(() => cuts.next().value ?? 1);
      model.run();
      for (const one of actions) {
        model.act(one);
        model.run();
        if (model.isOver) return;
      }
      // Whatever has happened, everything arrives once both sides end and read, and pipes are there.
      model.act({ kind: 'pipes', n: 0 });
      for (const which of ['client', 'backend'] as const) model.act({ kind: 'end', side: which });
      for (let i = 0; i < 400 && !model.isOver; i++) {
        for (const which of ['client', 'backend'] as const)
          model.act({ kind: 'receive', side: which, n: 30 });
        model.run();
      }
      const { client, backend } = model.kernel;
      const hasFailed = client.isReset || backend.isReset;
      assert.equal(model.outcome, hasFailed ? 'lost' : 'ended');
      if (hasFailed) return;
      for (const socket of [client, backend]) socket.receive(SOCKET_ROOM);
      assert.deepEqual(
        [client.received.length, backend.received.length],
        [backend.sent, client.sent],
      );
    },
  );
  fc.assert(runs, { numRuns: 2_000 });
});

test('A pair whose client does not read holds one pipe, and reads no more from its backend', () => {
  const model = new Model(() => 1_000);
  model.kernel.backend.send(500);
  model.run();
  assert.equal(model.outcome, 'waits');
  assert.equal(model.passed.toClient, SOCKET_ROOM);
  assert.deepEqual(
    [...model.kernel.pipes.values()].map((octets) => octets.length),
    [SOCKET_ROOM % PIPE_ROOM === 0 ? PIPE_ROOM : PIPE_ROOM - (SOCKET_ROOM % PIPE_ROOM)],
  );
  assert.equal(model.kernel.backend.arrived.length, 500 - 2 * PIPE_ROOM);
});

test('A side that fails is noticed at once if the other side does not read, and what it sent before is passed on if it does', () => {
  const stuck = new Model(() => 1_000);
  stuck.kernel.backend.send(500);
  stuck.run();
  stuck.kernel.backend.reset();
  stuck.run();
  assert.equal(stuck.outcome, 'lost');

  const reads = new Model(() => 1_000);
  reads.kernel.backend.send(30);
  reads.kernel.backend.reset();
  reads.run();
  assert.equal(reads.outcome, 'lost');
  assert.equal(reads.passed.toClient, 30);
});

test('A side that fails after it has ended is noticed', () => {
  const model = new Model(() => 1_000);
  model.kernel.client.end();
  model.run();
  assert.equal(model.outcome, 'waits');
  model.kernel.client.reset();
  model.run();
  assert.equal(model.outcome, 'lost');
});

test('A fast stream leaves others their turn', () => {
  const model = new Model(() => 2); // far more moves than a turn has
  const { backend } = model.kernel;
  backend.send(SOCKET_ROOM);
  model.pair.noteBackend(backend.event);
  model.pair.noteClient({ canRead: false, canWrite: true, hasFailed: false });
  assert.equal(model.pair.pump(), 'more');
  assert.ok(model.passed.toClient < SOCKET_ROOM);
});
