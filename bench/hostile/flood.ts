/** Queries from one client address at a fixed rate, and their replies. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { decode, encode } from 'dns-packet';

export interface Flood {
  /** Number of queries sent so far. */
  sent(): number;
  /** Stops sending and waits for the last replies; returns each reply's latency in ms and the replies by RCODE. */
  stop(): Promise<FloodReplies>;
}

export interface FloodReplies {
  readonly sent: number;
  readonly latenciesMs: readonly number[];
  readonly rcodes: Readonly<Record<string, number>>;
}

export interface FloodOptions {
  readonly port: number;
  /** The client's address on loopback. */
  readonly from: string;
  readonly perSecond: number;
  readonly name: (i: number) => string;
  readonly type?: 'A' | 'SRV';
  /** How long to wait for the last replies. */
  readonly drainMs?: number;
}

const TICK_MS = 2;
const IDS = 1 << 16;

export async function startFlood(options: FloodOptions): Promise<Flood> {
  const { port, from, perSecond, name, type = 'A', drainMs: patienceMs = 5_000 } = options;
  const socket = createSocket('udp4');
  socket.bind(0, from);
  await once(socket, 'listening');
  const sentAtMs = new Float64Array(IDS);
  const latenciesMs: number[] = [];
  const rcodes: Record<string, number> = {};
  let sent = 0;
  socket.on('message', (octets) => {
    const { id = 0, rcode = '' } = decode(octets) as { id?: number; rcode?: string };
    if (sentAtMs[id] === 0) return;
    latenciesMs.push(performance.now() - (sentAtMs[id] as number));
    sentAtMs[id] = 0;
    rcodes[rcode] = (rcodes[rcode] ?? 0) + 1;
  });
  const startedMs = performance.now();
  const timer = setInterval(() => {
    const due = ((performance.now() - startedMs) * perSecond) / 1_000;
    for (; sent < due; sent++) {
      const id = sent % IDS;
      sentAtMs[id] = performance.now();
      send(socket, port, id, name(sent), type);
    }
  }, TICK_MS);
  return {
    sent: () => sent,
    async stop() {
      clearInterval(timer);
      const untilMs = performance.now() + patienceMs;
      while (sentAtMs.some((ms) => ms > 0) && performance.now() < untilMs)
        await new Promise((done) => setTimeout(done, 20));
      socket.close();
      return { sent: sent, latenciesMs, rcodes };
    },
  };
}

function send(socket: Socket, port: number, id: number, name: string, type: 'A' | 'SRV'): void {
  const flags = 0x0100;
  socket.send(encode({ type: 'query', id, flags, questions: [{ type, name }] }), port, '127.0.0.1');
}
