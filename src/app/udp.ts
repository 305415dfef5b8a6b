/** Which sockets a server has: worker threads on batched sockets where they can be had, else Node's own sockets. */
import { availableParallelism } from 'node:os';
import { createUdpListener } from '../dataplane/listeners/portableListener.ts';
import type { UdpListener } from '../dataplane/listeners/udpListener.ts';
import { createWorkerListener } from '../dataplane/listeners/workerListener.ts';
import { loadLibc } from '../dataplane/sockets/libc.ts';
import { SocketMaker } from '../dataplane/sockets/socket.ts';
import type { AnswerTable } from '../dataplane/table/table.ts';
import type { Respond } from '../dns/message.ts';
import type { Log } from '../observability/log.ts';
import type { StreamSockets } from '../server/tcp.ts';
import type { LiveConfig } from './liveConfig.ts';

/** What `--workers` says: `undefined` leaves it to the machine, 0 wants none; and whether addresses are shared. */
export interface UdpWishes {
  readonly workers: number | undefined;
  readonly takeover: boolean;
}

export interface UdpParts {
  readonly liveConfig: LiveConfig;
  readonly table: AnswerTable;
  readonly respond: Respond;
  readonly onError: (error: Error) => void;
  readonly log: Log;
}

export function openUdp(wishes: UdpWishes, parts: UdpParts): UdpListener {
  const udp = listenerFor(wishes, parts);
  const { liveConfig } = parts;
  const followConfig = (): void => {
    const { forwarder, config } = liveConfig;
    udp.recurseFor(forwarder === undefined ? [] : config.recursionAllow);
  };
  liveConfig.onChanged(followConfig);
  followConfig();
  return udp;
}

/** The main thread has work of its own, so it gets a core where there are several. */
function defaultWorkers(): number {
  return Math.max(1, availableParallelism() - 1);
}

function listenerFor(
  { workers = defaultWorkers(), takeover }: UdpWishes,
  parts: UdpParts,
): UdpListener {
  const { respond, onError, table, log } = parts;
  const options = { respond, onError, table: table.handle };
  if (workers === 0) return createUdpListener(options);
  const found = loadLibc();
  if (found.kind === 'missing') {
    log.info({ reason: found.reason }, 'UDP is answered by one thread, one packet a system call');
    return createUdpListener(options);
  }
  const { libc } = found;
  const onWorkerGone = (thread: number): void => table.forgetReader(thread);
  return createWorkerListener({ ...options, libc, workers, joins: takeover, onWorkerGone });
}

/** Undefined where Node's own sockets have to do. */
export function streamSockets({ workers, takeover }: UdpWishes): StreamSockets | undefined {
  const found = loadLibc();
  if (workers === 0 || found.kind === 'missing') return undefined;
  const maker = new SocketMaker(found.libc);
  return {
    open: (address, port) => maker.openStream({ address, port }, takeover),
    giveWay: (fd) => maker.giveStreamWay(fd),
  };
}
