/** A proxy with real sockets on loopback addresses: its backends, its clients, and what it reported. */
import assert from 'node:assert/strict';
import net, { type AddressInfo, type Socket } from 'node:net';
import test, { type TestContext } from 'node:test';
import type { Carrier } from '../../src/ambassador/proxy/carry/carrier.ts';
import { NetCarrier } from '../../src/ambassador/proxy/carry/netCarrier.ts';
import { openSpliceCarrier } from '../../src/ambassador/proxy/carry/spliceCarrier.ts';
import type { Destination, DestinationOf } from '../../src/ambassador/proxy/destination.ts';
import type { ProxyEvent } from '../../src/ambassador/proxy/proxyEvents.ts';
import {
  type ProxyListener,
  ProxyPlane,
  type ProxyPlaneOptions,
} from '../../src/ambassador/proxy/proxyPlane.ts';
import type { Backend, BackendSet, ListenAddress } from '../../src/ambassador/route.ts';
import { printSocketAddress, type SocketAddress } from '../../src/dns/address.ts';
import { loadStreamCalls } from '../../src/kernel/streamCalls.ts';
import { type Clock, systemClock } from '../../src/timing/clock.ts';

/** The carriers that the contract holds for. */
export const CARRIERS = {
  net: (clock: Clock): Carrier => new NetCarrier(clock),
  splice: (clock: Clock): Carrier => {
    const opened = openSpliceCarrier(clock);
    assert.ok(opened.kind === 'carrier', JSON.stringify(opened));
    return opened.carrier;
  },
} as const;

export type CarrierName = keyof typeof CARRIERS;

/** A test of what every carrier must do. */
export function contract(
  title: string,
  run: (t: TestContext, carrierName: CarrierName) => Promise<void>,
): void {
  for (const carrierName of Object.keys(CARRIERS) as CarrierName[])
    test(`${title} (carrier: ${carrierName})`, (t) => {
      const calls = loadStreamCalls();
      if (carrierName === 'splice' && calls.kind === 'missing') return t.skip(calls.reason);
      return run(t, carrierName);
    });
}

export const ON_LOOPBACK: ListenAddress = {
  kind: 'port',
  address: '127.0.0.1',
  port: 0,
  protocol: 'tcp',
};

export function backend(at: SocketAddress, rest: Partial<Backend> = {}): Backend {
  const { address, port } = at;
  return { address, port, priority: 0, weight: 100, key: undefined, ...rest };
}

/** A set of these backends, in the order that the contract of `BackendSet` asks for. */
export function setOf(...backends: readonly Backend[]): BackendSet {
  const text = printSocketAddress;
  return {
    kind: 'known',
    backends: backends.toSorted((a, b) => (text(a) < text(b) ? -1 : 1)),
  };
}

export const UNKNOWN: BackendSet = { kind: 'waits', reason: 'the store has not been read yet' };

/** Blocks this thread, as a long computation would. */
export function blockThread(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

export interface ProxyScene {
  readonly plane: ProxyPlane;
  readonly listener: ProxyListener;
  readonly at: SocketAddress;
  readonly events: readonly ProxyEvent[];
  /** Changes the destination of all clients. */
  lead(to: Partial<Destination>): void;
}

export type SceneOptions = Partial<ProxyPlaneOptions> & {
  readonly carrierName?: CarrierName;
  readonly listen?: ListenAddress;
  readonly destination?: Partial<Destination>;
  readonly destinationOf?: DestinationOf;
};

/** Opens a proxy with one listener. Loopback addresses are permitted unless the options say otherwise. */
export async function openProxy(t: TestContext, options: SceneOptions = {}): Promise<ProxyScene> {
  const { carrierName = 'net', listen = ON_LOOPBACK, clock = systemClock } = options;
  const events: ProxyEvent[] = [];
  const plane = new ProxyPlane({
    balance: 'random',
    drainSeconds: 30,
    connectTimeoutSeconds: 2,
    maxConnections: 10_000,
    maxPerSource: 10_000,
    proxyProtocol: false,
    udpIdleSeconds: 60,
    clock,
    random: Math.random,
    onEvent: (event) => events.push(event),
    carrier: CARRIERS[carrierName](clock),
    addressPolicy: () => undefined,
    ...options,
  });
  t.after(() => plane.close(0));
  let destination: Destination = {
    label: 'route',
    backends: setOf(),
    isStatic: false,
    ...options.destination,
  };
  const outcome = await plane.open(listen, options.destinationOf ?? (() => destination));
  assert.equal(outcome.kind, 'opened', JSON.stringify(outcome));
  const { listener } = outcome;
  const [at = { address: '', port: 0 }] = listener.addresses;
  const lead = (to: Partial<Destination>): void => {
    destination = { ...destination, ...to };
    plane.refresh();
  };
  return { plane, listener, at, events, lead };
}

export interface TestBackend extends SocketAddress {
  readonly name: string;
  /** The connections that are open, the oldest first. */
  readonly sockets: ReadonlySet<Socket>;
  /** How many connections it has accepted. */
  readonly accepted: number;
  readonly as: Backend;
  close(): Promise<void>;
}

/** Answers the first line of each connection with its name and the line, then returns what comes. */
export function named(name: string): (socket: Socket) => void {
  return (socket) => {
    socket.once('data', (chunk) => {
      socket.write(`${name} ${chunk}`);
      socket.on('data', (more) => socket.write(more));
    });
    socket.on('end', () => socket.end());
  };
}

/** Listens on a loopback address; `serve` has the accepted sockets, which stay half-open. */
export async function startBackend(
  t: TestContext,
  name: string,
  { address = '127.0.0.1', port = 0, serve = named(name) } = {},
): Promise<TestBackend> {
  const sockets = new Set<Socket>();
  let accepted = 0;
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    accepted += 1;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    serve(socket);
  });
  await listening(server, { host: address, port });
  const bound = { address, port: (server.address() as AddressInfo).port };
  const close = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  t.after(close);
  return {
    ...bound,
    name,
    sockets,
    get accepted() {
      return accepted;
    },
    as: backend(bound),
    close,
  };
}

function listening(server: net.Server, where: net.ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, resolve);
  });
}

export interface TestClient {
  readonly socket: Socket;
  /** All that it has received. */
  readonly text: string;
  readonly hasEnded: boolean;
  /** The code of its error; undefined while there is none. */
  readonly error: string | undefined;
  readonly isClosed: boolean;
  /** Sends text, waits for that many octets more, and returns them. */
  exchange(text: string, octets?: number): Promise<string>;
  /** Waits for the end, and returns everything; rejects with the code of an error. */
  all(): Promise<string>;
  /** Waits until the connection is closed, and returns the code of its error. */
  closed(): Promise<string | undefined>;
}

export type ClientOptions = { readonly localAddress?: string; readonly path?: string };

/** Connects to the proxy. Rejects if the connection is refused. */
export async function connectTo(
  at: SocketAddress,
  { localAddress, path }: ClientOptions = {},
): Promise<TestClient> {
  const where =
    path === undefined
      ? { host: at.address, port: at.port, ...(localAddress === undefined ? {} : { localAddress }) }
      : { path };
  const socket = net.connect({ ...where, allowHalfOpen: true });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve();
    });
  });
  return clientOf(socket);
}

function clientOf(socket: Socket): TestClient {
  const chunks: Buffer[] = [];
  const waiting = new Set<() => void>();
  const state = {
    octets: 0,
    hasEnded: false,
    isClosed: false,
    error: undefined as string | undefined,
  };
  const wake = (): void => {
    for (const each of [...waiting]) each();
  };
  socket.setNoDelay(true);
  socket.on('data', (chunk) => {
    chunks.push(chunk);
    state.octets += chunk.length;
    wake();
  });
  socket.on('end', () => {
    state.hasEnded = true;
    wake();
  });
  socket.on('error', (error: NodeJS.ErrnoException) => {
    state.error = error.code ?? error.message;
  });
  socket.on('close', () => {
    state.isClosed = true;
    wake();
  });
  const waitFor = (what: string, condition: () => boolean): Promise<void> =>
    new Promise((resolve, reject) => {
      const finish = (error?: Error): void => {
        clearTimeout(timer);
        waiting.delete(check);
        if (error === undefined) resolve();
        else reject(error);
      };
      const check = (): void => {
        if (condition()) finish();
        else if (state.isClosed) finish(new Error(`closed (${state.error}) before ${what}`));
      };
      const timer = setTimeout(() => finish(new Error(`not within 20 s: ${what}`)), 20_000);
      waiting.add(check);
      check();
    });
  const text = (): string => Buffer.concat(chunks).toString('latin1');
  return {
    socket,
    get text() {
      return text();
    },
    get hasEnded() {
      return state.hasEnded;
    },
    get error() {
      return state.error;
    },
    get isClosed() {
      return state.isClosed;
    },
    async exchange(sent, octets) {
      const before = state.octets;
      const wanted = before + (octets ?? 1);
      socket.write(sent);
      await waitFor('the reply', () => state.octets >= wanted);
      return text().slice(before);
    },
    async all() {
      await waitFor('the end', () => state.hasEnded);
      socket.end();
      return text();
    },
    async closed() {
      await waitFor('the close', () => state.isClosed).catch((error) => {
        if (!state.isClosed) throw error;
      });
      return state.error;
    },
  };
}

/** Sends one line on a connection of its own, ends, and returns what comes back. */
export async function ask(
  at: SocketAddress,
  line: string,
  options: ClientOptions = {},
): Promise<string> {
  const client = await connectTo(at, options);
  client.socket.end(line);
  return client.all();
}
