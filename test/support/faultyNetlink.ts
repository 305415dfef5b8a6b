/** A netlink socket of the real kernel whose reads fail, or come late, as a test wants. */
import assert from 'node:assert/strict';
import { type Libc, loadLibc } from '../../src/kernel/libc.ts';
import { NetlinkSocket } from '../../src/kernel/netlinkSocket.ts';

const AF_NETLINK = 16;
const SOCK_RAW = 3;

/** The first reads fail with these errnos. `onRead` is called before each read with the number of reads before it. */
export function faultySocket(
  protocol: number,
  errnos: number[],
  onRead: (reads: number) => void = () => {},
): NetlinkSocket {
  const loaded = loadLibc();
  if (loaded.kind === 'missing') assert.fail(loaded.reason);
  const { libc } = loaded;
  let injected = 0;
  let reads = 0;
  const faulty: Libc = {
    ...libc,
    recv: (...call) => {
      onRead(reads++);
      injected = errnos.shift() ?? 0;
      return injected === 0 ? libc.recv(...call) : -1;
    },
    errno: () => (injected === 0 ? libc.errno() : injected),
  };
  const socket = new NetlinkSocket(faulty, libc.socket(AF_NETLINK, SOCK_RAW, protocol));
  assert.equal(socket.configure([]), 0);
  return socket;
}
