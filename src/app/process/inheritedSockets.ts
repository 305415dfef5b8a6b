/**
 * Socket activation (sd_listen_fds(3)): the sockets that systemd, or a program with its protocol, opened for this
 * process.
 */
import { readlink } from 'node:fs/promises';
import type { InheritedSocket } from '../../server/listening/listen.ts';
import { readSockets } from '../../server/listening/socketTable.ts';
import { Failure } from './failure.ts';
import type { Io } from './process.ts';

/**
 * The sockets to serve instead of `--addr`; empty: serve `--addr`. `wanted` is `--systemd`: true requires inherited
 * sockets, false ignores them, undefined takes them if they exist. Throws a `Failure`.
 */
export async function inheritedSockets(
  wanted: boolean | undefined,
  env: Io['env'],
): Promise<readonly InheritedSocket[]> {
  if (wanted === false) return [];
  const activation = readSocketActivation(env, process.pid);
  if (activation.kind === 'none') {
    if (wanted === undefined) return [];
    const hint =
      'start soradns through its socket unit (systemctl start soradns.socket), or omit --systemd';
    throw new Failure('usage', '--systemd: systemd passed no sockets', hint);
  }
  const identified = await identifySockets(activation.descriptors);
  if (identified.kind === 'sockets') return identified.sockets;
  const hint = 'the socket unit needs ListenDatagram= and ListenStream= with addresses';
  throw new Failure('usage', identified.problem, hint);
}

export interface InheritedDescriptor {
  readonly fd: number;
  /** FileDescriptorName= of the socket unit. */
  readonly name: string;
}

export type SocketActivation =
  | { readonly kind: 'none' }
  /** At least one. */
  | { readonly kind: 'descriptors'; readonly descriptors: readonly InheritedDescriptor[] };

/** SD_LISTEN_FDS_START. */
const FIRST_FD = 3;
const MAX_FDS = 1_024;

/** Reads LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES. Variables for another process than `pid` are ignored. Pure. */
function readSocketActivation(env: Io['env'], pid: number): SocketActivation {
  const count = Number(env.LISTEN_FDS ?? '0');
  const isOurs = env.LISTEN_PID === undefined || env.LISTEN_PID === String(pid);
  if (!isOurs || !Number.isInteger(count) || count < 1 || count > MAX_FDS) return { kind: 'none' };
  const names = (env.LISTEN_FDNAMES ?? '').split(':');
  const descriptors = Array.from({ length: count }, (_, index) => ({
    fd: FIRST_FD + index,
    name: names[index] || 'unknown',
  }));
  return { kind: 'descriptors', descriptors };
}

export type SocketsOutcome =
  | { readonly kind: 'sockets'; readonly sockets: readonly InheritedSocket[] }
  /** One line that names the descriptor and the kind of socket that it must be. */
  | { readonly kind: 'mistake'; readonly problem: string };

/** Each descriptor must be a bound UDP socket or a listening TCP socket. Node cannot tell which; Linux's /proc can. */
async function identifySockets(
  descriptors: readonly InheritedDescriptor[],
): Promise<SocketsOutcome> {
  const open = [...(await readSockets('udp')), ...(await readSockets('tcp'))];
  const sockets: InheritedSocket[] = [];
  for (const { fd, name } of descriptors) {
    const link = await readlink(`/proc/self/fd/${fd}`).catch(() => 'closed');
    const inode = /^socket:\[(\d+)\]$/.exec(link)?.[1];
    const socket = open.find((candidate) => candidate.inode === inode);
    if (socket === undefined || !socket.isListening) {
      const problem = `descriptor ${fd} (${name}) is neither a UDP socket nor a listening TCP socket`;
      return { kind: 'mistake', problem };
    }
    const { transport, address, port } = socket;
    sockets.push({ transport, address, port, fd });
  }
  return { kind: 'sockets', sockets };
}
