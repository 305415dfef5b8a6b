/** Who is at the other end of a connection on a unix socket, by the kernel's word (SO_PEERCRED, unix(7)). */
import { SOL_SOCKET } from './layout.ts';
import { type Libc, loadLibc } from './libc.ts';

export interface PeerCredentials {
  /** As seen from here: 0 for a process in another PID namespace. */
  readonly pid: number;
  readonly uid: number;
}

const SO_PEERCRED = 17;
/** struct ucred: pid, uid and gid, of 32 bits each. */
const UCRED_OCTETS = 12;

/** `undefined` where the kernel cannot be asked, or `fd` is no such connection. */
export function peerCredentials(fd: number): PeerCredentials | undefined {
  const loaded = loadLibc();
  return loaded.kind === 'libc' ? credentialsOf(loaded.libc, fd) : undefined;
}

function credentialsOf(libc: Libc, fd: number): PeerCredentials | undefined {
  const room = new ArrayBuffer(UCRED_OCTETS + 4);
  const view = new DataView(room);
  view.setUint32(UCRED_OCTETS, UCRED_OCTETS, true);
  const at = libc.addressOf(room);
  const failed = libc.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, at, at + UCRED_OCTETS) !== 0;
  if (failed || view.getUint32(UCRED_OCTETS, true) !== UCRED_OCTETS) return undefined;
  return { pid: view.getInt32(0, true), uid: view.getUint32(4, true) };
}
