/**
 * Calls of the kernel in the network namespace of another process (setns(2)). The calling thread alone enters it, and is
 * back when the call returns: sockets that it opened there stay there.
 */
import { closeSync, fstatSync, openSync } from 'node:fs';
import { errnoCode, loadKoffi } from './libc.ts';
import { attribute, joined, nested } from './netlinkMessage.ts';
import { NETLINK_ROUTE, type NetlinkResult, openNetlink } from './netlinkSocket.ts';

export type InNamespace<T> =
  | { readonly kind: 'done'; readonly value: T }
  /** `reason` has no full stop. */
  | { readonly kind: 'failed'; readonly reason: string };

const CLONE_NEWNET = 0x4000_0000;
const OWN = '/proc/thread-self/ns/net';

type SetNamespace = (fd: number, kind: number) => number;
/** Of libc; bound at the first call. */
let setns: SetNamespace | undefined;

/** `use` must not wait for anything asynchronous. Throws if the thread cannot come back: then it must end. */
export function inNetworkOf<T>(pid: number, use: () => T): InNamespace<T> {
  const loaded = loadKoffi();
  if (loaded.kind === 'missing') return { kind: 'failed', reason: loaded.reason };
  const { koffi } = loaded;
  setns ??= koffi.load(null).func('setns', 'int', ['int', 'int']) as SetNamespace;
  const fds: number[] = [];
  try {
    const [own, other] = [OWN, `/proc/${pid}/ns/net`].map((path) => {
      const fd = openSync(path, 'r');
      fds.push(fd);
      return fd;
    }) as [number, number];
    if (fstatSync(own).ino === fstatSync(other).ino)
      return { kind: 'failed', reason: 'the process has no network of its own here' };
    if (setns(other, CLONE_NEWNET) !== 0)
      return { kind: 'failed', reason: whyNotEntered(errnoCode(koffi.errno())) };
    try {
      return { kind: 'done', value: use() };
    } finally {
      comeBack(own, setns);
    }
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (code === undefined || syscall === undefined) throw error;
    return { kind: 'failed', reason: whyNotEntered(code) };
  } finally {
    for (const fd of fds) closeSync(fd);
  }
}

function comeBack(own: number, enter: SetNamespace): void {
  if (enter(own, CLONE_NEWNET) !== 0) throw new Error('setns: the thread is in a foreign network');
}

function whyNotEntered(code: string): string {
  if (code === 'ENOENT') return "it does not see the containers' processes: it needs --pid host";
  if (code === 'EPERM' || code === 'EACCES')
    return 'it needs the capabilities SYS_ADMIN and SYS_PTRACE';
  return `the network namespace cannot be entered: ${code}`;
}

const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const RTM_SETLINK = 19;
/** struct ifinfomsg: family, type, index, flags, mask of changed flags. */
const LINK_OCTETS = 16;
const INDEX_AT = 4;
const FLAGS_AT = 8;
const IFF_LOOPBACK = 0x8;
const IFLA_AF_SPEC = 26;
const AF_INET = 2;
const IFLA_INET_CONF = 1;
const IPV4_DEVCONF_ROUTE_LOCALNET = 26;

/**
 * Sets net.ipv4.conf.*.route_localnet of all interfaces but lo, by rtnetlink: /proc/sys is read-only in containers.
 */
export function allowRoutedLocalnet(): NetlinkResult {
  const opened = openNetlink(NETLINK_ROUTE);
  if (opened.kind === 'missing') return { kind: 'failed', code: opened.reason };
  const { socket } = opened;
  try {
    const links = socket.dump<number>(
      RTM_GETLINK,
      new Uint8Array(LINK_OCTETS),
      (message, found) => {
        if (message.type !== RTM_NEWLINK || message.payload.length < LINK_OCTETS) return;
        const view = viewOf(message.payload);
        const isLoopback = (view.getUint32(FLAGS_AT, true) & IFF_LOOPBACK) !== 0;
        if (!isLoopback) found.push(view.getInt32(INDEX_AT, true));
      },
    );
    if (links.kind === 'failed') return links;
    for (const index of links.entries) {
      const result = socket.request(RTM_SETLINK, settingOf(index));
      if (result.kind === 'failed') return result;
    }
    return { kind: 'done' };
  } finally {
    socket.close();
  }
}

function settingOf(index: number): Uint8Array {
  const header = new Uint8Array(LINK_OCTETS);
  viewOf(header).setInt32(INDEX_AT, index, true);
  const on = attribute(IPV4_DEVCONF_ROUTE_LOCALNET, Uint8Array.of(1, 0, 0, 0));
  return joined([header, nested(IFLA_AF_SPEC, [nested(AF_INET, [nested(IFLA_INET_CONF, [on])])])]);
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}
