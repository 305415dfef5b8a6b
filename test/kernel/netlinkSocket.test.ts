/** Netlink sockets with the kernel of this machine, in a network namespace of the test. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import os from 'node:os';
import test, { before } from 'node:test';
import {
  NETLINK_NETFILTER,
  NETLINK_ROUTE,
  type NetlinkSocket,
  openNetlink,
} from '../../src/kernel/netlinkSocket.ts';
import { encodeSet, NftGet } from '../../src/kernel/nftMessage.ts';
import { faultySocket } from '../support/faultyNetlink.ts';
import { environment } from '../support/hostCleaner.ts';
import { command, enterOwnNetwork, noOwnNetwork } from '../support/ownNetwork.ts';

const options = noOwnNetwork === undefined ? {} : { skip: noOwnNetwork };
const { errno } = os.constants;
const RTM_GETLINK = 18;
const GETLINK = new Uint8Array(16);
const RTM_GETADDR = 22;
/** struct ifaddrmsg of IPv4. */
const GETADDR = Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0);
/** struct nfgenmsg. */
const HEADER = new Uint8Array(4);
/** So many that the kernel needs several reads to list them. */
const ADDRESSES = 2_000;

before(() => {
  if (noOwnNetwork === undefined) enterOwnNetwork();
});

function socketOf(protocol: number): NetlinkSocket {
  const opened = openNetlink(protocol);
  if (opened.kind === 'missing') assert.fail(opened.reason);
  return opened.socket;
}

test('A dump lists what the kernel has', options, () => {
  const socket = socketOf(NETLINK_ROUTE);
  const links = socket.dump<number>(RTM_GETLINK, GETLINK, ({ type }, types) => types.push(type));
  assert.deepEqual(links, { kind: 'complete', entries: [16] });
  socket.close();
});

test('A refused request gives the error of the kernel', options, () => {
  const socket = socketOf(NETLINK_NETFILTER);
  assert.deepEqual(socket.request(0x0aff, HEADER), { kind: 'failed', code: 'EINVAL' });
  const absent = socket.dump(
    NftGet.ELEMENTS,
    encodeSet({ family: 4, name: 't' }, 'absent'),
    () => {},
  );
  assert.deepEqual(absent, { kind: 'failed', code: 'ENOENT' });
  socket.close();
});

test('A read that a signal interrupts is repeated', options, () => {
  const socket = faultySocket(NETLINK_ROUTE, [errno.EINTR, errno.EINTR]);
  const links = socket.dump<number>(RTM_GETLINK, GETLINK, ({ type }, types) => types.push(type));
  assert.deepEqual(links, { kind: 'complete', entries: [16] });
  socket.close();
});

test('A dump whose reply does not come ends, and can be repeated', options, () => {
  const socket = faultySocket(NETLINK_ROUTE, [errno.EAGAIN]);
  const list = () =>
    socket.dump<number>(RTM_GETLINK, GETLINK, ({ type }, types) => types.push(type));
  assert.deepEqual(list(), { kind: 'failed', code: 'EAGAIN' });
  assert.deepEqual(list(), { kind: 'complete', entries: [16] });
  socket.close();
});

test('A late reply does not answer the next request', options, () => {
  const socket = faultySocket(NETLINK_NETFILTER, [errno.EAGAIN, errno.EAGAIN]);
  assert.deepEqual(socket.request(0x0aff, HEADER), { kind: 'failed', code: 'EAGAIN' });
  assert.deepEqual(socket.request(NftGet.GENERATION, HEADER), { kind: 'done' });
  socket.close();
});

test('A dump begins again if its table changes while it is read', options, () => {
  const addresses = Array.from({ length: ADDRESSES }, (_, i) => `10.8.${i >> 8}.${i & 255}/32`);
  const lines = addresses.map((address) => `address add ${address} dev lo`);
  execFileSync('ip', ['-batch', '-'], { input: lines.join('\n'), env: environment() });
  const socket = faultySocket(NETLINK_ROUTE, [], (reads) => {
    if (reads === 1) command('ip', 'address', 'delete', addresses[0] ?? '', 'dev', 'lo');
  });
  let replies = 0;
  const dump = socket.dump<number>(RTM_GETADDR, GETADDR, ({ type }, types) => {
    replies++;
    types.push(type);
  });
  assert.ok(dump.kind === 'complete');
  // With that of `lo`.
  assert.equal(dump.entries.length, ADDRESSES - 1 + 1);
  assert.ok(replies > dump.entries.length, 'the first dump was not interrupted');
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
