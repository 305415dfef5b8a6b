/** Netlink sockets with the kernel of this machine, in a network namespace of the test. */
import assert from 'node:assert/strict';
import os from 'node:os';
import test, { before } from 'node:test';
import { type Libc, loadLibc } from '../../src/kernel/libc.ts';
import {
  NETLINK_NETFILTER,
  NETLINK_ROUTE,
  NetlinkSocket,
  openNetlink,
} from '../../src/kernel/netlinkSocket.ts';
import { eachElement, encodeSet, NftGet } from '../../src/kernel/nftMessage.ts';
import { command, enterOwnNetwork, noOwnNetwork } from '../support/ownNetwork.ts';

const options = noOwnNetwork === undefined ? {} : { skip: noOwnNetwork };
const { errno } = os.constants;
const RTM_GETLINK = 18;
const GETLINK = new Uint8Array(16);
const TABLE = { family: 4, name: 'netlink' } as const;
/** So many that the kernel needs several reads to list them. */
const ELEMENTS = 4_000;

before(() => {
  if (noOwnNetwork === undefined) enterOwnNetwork();
});

function socketOf(protocol: number): NetlinkSocket {
  const opened = openNetlink(protocol);
  if (opened.kind === 'missing') assert.fail(opened.reason);
  return opened.socket;
}

/** A socket whose reads first fail with these errnos. `onRead` is called before each read. */
function faultySocket(
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
  const socket = new NetlinkSocket(faulty, libc.socket(16, 3, protocol));
  assert.equal(socket.configure([]), 0);
  return socket;
}

test('A dump lists what the kernel has', options, () => {
  const socket = socketOf(NETLINK_ROUTE);
  const links = socket.dump<number>(RTM_GETLINK, GETLINK, ({ type }, types) => types.push(type));
  assert.deepEqual(links, { kind: 'complete', entries: [16] });
  socket.close();
});

test('A refused request gives the error of the kernel', options, () => {
  const socket = socketOf(NETLINK_NETFILTER);
  assert.deepEqual(socket.request(0x0aff, new Uint8Array(4)), { kind: 'failed', code: 'EINVAL' });
  const absent = socket.dump(NftGet.ELEMENTS, encodeSet(TABLE, 'absent'), () => {});
  assert.deepEqual(absent, { kind: 'failed', code: 'ENOENT' });
  socket.close();
});

test('A read that a signal interrupts is repeated', options, () => {
  const socket = faultySocket(NETLINK_ROUTE, [errno.EINTR, errno.EINTR]);
  const links = socket.dump<number>(RTM_GETLINK, GETLINK, ({ type }, types) => types.push(type));
  assert.deepEqual(links, { kind: 'complete', entries: [16] });
  socket.close();
});

test(
  'A reply that does not come ends the wait, and does not answer the next request',
  options,
  () => {
    const socket = faultySocket(NETLINK_ROUTE, [errno.EAGAIN]);
    const list = () =>
      socket.dump<number>(RTM_GETLINK, GETLINK, ({ type }, types) => types.push(type));
    assert.deepEqual(list(), { kind: 'failed', code: 'EAGAIN' });
    assert.deepEqual(list(), { kind: 'complete', entries: [16] });
    socket.close();
  },
);

test('A dump begins again if its table changes while it is read', options, () => {
  command('nft', 'add table ip netlink');
  command('nft', 'add set ip netlink many { type mark; }');
  const marks = Array.from({ length: ELEMENTS }, (_, mark) => mark);
  for (const some of [marks.slice(0, 2_000), marks.slice(2_000)])
    command('nft', `add element ip netlink many { ${some.join(', ')} }`);
  const socket = faultySocket(NETLINK_NETFILTER, [], (reads) => {
    if (reads === 1) command('nft', `add element ip netlink many { ${ELEMENTS} }`);
  });
  let parts = 0;
  const dump = socket.dump<null>(NftGet.ELEMENTS, encodeSet(TABLE, 'many'), (message, found) => {
    parts++;
    eachElement(message, () => found.push(null));
  });
  assert.ok(dump.kind === 'complete');
  assert.equal(dump.entries.length, ELEMENTS + 1);
  assert.ok(parts > 2, `${parts} messages are too few to be interrupted`);
  socket.close();
});

test('Messages of a group are read without waiting, and a full buffer is reported', options, () => {
  const opened = openNetlink(NETLINK_NETFILTER, [7]);
  if (opened.kind === 'missing') assert.fail(opened.reason);
  const types: number[] = [];
  assert.equal(
    opened.socket.drain(({ type }) => types.push(type)),
    true,
  );
  assert.equal(types.length, 0);
  command('nft', 'add table ip group');
  assert.equal(
    opened.socket.drain(({ type }) => types.push(type)),
    true,
  );
  assert.deepEqual(types, [0xa00, 0xa0f]);
  opened.socket.close();

  const overrun = faultySocket(NETLINK_NETFILTER, [errno.ENOBUFS]);
  assert.equal(
    overrun.drain(() => {}),
    false,
  );
  assert.equal(
    overrun.drain(() => {}),
    true,
  );
  overrun.close();
});
