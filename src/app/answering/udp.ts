/** Chooses the sockets of a server: worker threads with batched sockets if libc can be loaded, else Node's sockets. */
import { availableParallelism } from 'node:os';
import type { Config } from '../../config/config.ts';
import { createPortableListener } from '../../dataplane/listeners/portableListener.ts';
import type { UdpListener } from '../../dataplane/listeners/udpListener.ts';
import { createWorkerListener } from '../../dataplane/listeners/workerListener.ts';
import { SocketMaker } from '../../dataplane/sockets/socket.ts';
import type { AnswerTable } from '../../dataplane/table/table.ts';
import type { Respond } from '../../dns/message.ts';
import type { Dnstap } from '../../dnstap/dnstap.ts';
import { loadLibc } from '../../kernel/libc.ts';
import type { Log } from '../../observability/log.ts';
import type { ClientGate } from '../../server/clientGate.ts';
import type { StreamSockets } from '../../server/tcp/connectionListener.ts';
import { StreamTable } from '../../server/tcp/streamTable.ts';
import { TcpListener } from '../../server/tcp/tcp.ts';
import type { OpenReplies } from '../../server/tcp/tcpConnection.ts';
import type { PolicySource } from './clientPolicy.ts';

export type ListenConfig = Pick<Config, 'workers' | 'takeover'>;

export interface ListenerParts {
  readonly policy: PolicySource;
  readonly table: AnswerTable;
  /** The memory of the cache that the table's readers read too. */
  readonly cache: SharedArrayBuffer | undefined;
  readonly respond: Respond;
  /** Of `respond`. */
  readonly gate: ClientGate;
  /** See `ConnectionContext`. */
  readonly openReplies: OpenReplies;
  /** Undefined: no messages for dnstap. */
  readonly tap: Dnstap | undefined;
  readonly onError: (error: Error) => void;
  readonly log: Log;
}

/** Makes the listeners for both transports. Both answer from the table, and follow the client policy. */
export function openListeners(
  config: ListenConfig,
  parts: ListenerParts,
): { udp: UdpListener; tcp: TcpListener } {
  const { policy, table, cache, respond, gate, openReplies, tap, onError } = parts;
  const udp = listenerFor(config, parts);
  const streamTable = new StreamTable({ ...table.handle, cache }, undefined, tap?.client);
  policy.add(udp, streamTable, gate);
  const sockets = streamSockets(config);
  const tcp = new TcpListener({ respond, openReplies, table: streamTable, onError, sockets });
  return { udp, tcp };
}

/** The number of worker threads; by default it leaves a core to the main thread if there are several. */
export function workerCount({ workers }: Pick<Config, 'workers'>): number {
  return workers ?? Math.max(1, availableParallelism() - 1);
}

function listenerFor(
  { workers: wanted, takeover }: ListenConfig,
  parts: ListenerParts,
): UdpListener {
  const workers = workerCount({ workers: wanted });
  const { respond, onError, table, cache, tap, log } = parts;
  const options = { respond, onError, table: { ...table.handle, cache }, tap: tap?.listenerTap };
  if (workers === 0) return createPortableListener(options);
  const found = loadLibc();
  if (found.kind === 'missing') {
    log.info(
      { reason: found.reason },
      'answering UDP on one thread, with one system call per packet',
    );
    return createPortableListener(options);
  }
  const { libc } = found;
  const onWorkerGone = (thread: number): void => table.forgetReader(thread);
  return createWorkerListener({ ...options, libc, workers, joins: takeover, onWorkerGone });
}

/** Undefined: use Node's sockets. */
export function streamSockets({ workers, takeover }: ListenConfig): StreamSockets | undefined {
  if (workers === 0) return undefined;
  const found = loadLibc();
  if (found.kind === 'missing') return undefined;
  const maker = new SocketMaker(found.libc);
  return {
    open: (address, port) => maker.openStream({ address, port }, takeover),
    divertConnections: (fd) => maker.divertConnections(fd),
  };
}
