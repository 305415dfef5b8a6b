/** The recorded octets are those of Linux 6.18. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import {
  decodeFlow,
  encodeFlowDeletion,
  encodeFlowFilter,
  FLOW_DELETE,
  FLOW_GET,
  type TrackedFlow,
} from '../../src/kernel/conntrackMessage.ts';
import type { NetlinkMessage } from '../../src/kernel/netlinkMessage.ts';

/** A TCP connection to 10.9.0.1:81, which was translated to 127.0.0.1:8081. */
const TCP =
  '020000003400018014000180080001000a090001080002000a0900011c000280050001000600000006000200825c0000060003000051' +
  '00003400028014000180080001007f000001080002000a0900011c0002800500010006000000060002001f91000006000300825c0000' +
  '08000300000001ae080008000000000008000c008b29b9a708000b0000000001080007000006977f300004802c000180050001000300' +
  '0000050002000a000000050003000a00000006000400230000000600050023000000';
/** Datagrams to 10.9.0.1:99 in connection-tracking zone 0, without an answer. */
const UDP =
  '020000003400018014000180080001000a090001080002000a0900011c000280050001001100000006000200c91a0000060003000063' +
  '00003400028014000180080001000a090001080002000a0900011c0002800500010011000000060002000063000006000300c91a0000' +
  '0800030000000188080008000000000008000c00161aae6408000b0000000001080007000000001d';
/** A TCP connection to [::1]:8081. */
const TCP6 =
  '0a0000004c0001802c000180140003000000000000000000000000000000000114000400000000000000000000000000000000011c00' +
  '0280050001000600000006000200ebca0000060003001f9100004c0002802c0001801400030000000000000000000000000000000001' +
  '14000400000000000000000000000000000000011c0002800500010006000000060002001f91000006000300ebca0000080003000000' +
  '000e080008000000000008000c005204ec2808000b0000000001080007000006977f300004802c000180050001000300000005000200' +
  '0a000000050003000a00000006000400230000000600050023000000';

const hex = (octets: Uint8Array): string => Buffer.from(octets).toString('hex');

function recorded(payload: string): NetlinkMessage {
  return { type: 0x100, flags: 2, sequence: 1, payload: Buffer.from(payload, 'hex') };
}

function flowIn(payload: string, family: 4 | 6 = 4): TrackedFlow {
  const flow = decodeFlow(recorded(payload), { family });
  assert.ok(flow);
  return flow;
}

test('A TCP connection has both tuples and its state', () => {
  assert.deepEqual(flowIn(TCP), {
    family: 4,
    protocol: 'tcp',
    original: {
      source: '10.9.0.1',
      sourcePort: 33_372,
      destination: '10.9.0.1',
      destinationPort: 81,
    },
    reply: {
      source: '127.0.0.1',
      sourcePort: 8_081,
      destination: '10.9.0.1',
      destinationPort: 33_372,
    },
    tcpState: 'established',
    id: 0x8b29b9a7,
    zone: undefined,
  });
});

test('A UDP flow has no state', () => {
  const { protocol, tcpState, original, reply } = flowIn(UDP);
  assert.deepEqual([protocol, tcpState], ['udp', undefined]);
  assert.deepEqual([original.destinationPort, reply.sourcePort], [99, 99]);
});

test('An IPv6 connection is read like one of IPv4', () => {
  const { family, original, tcpState } = flowIn(TCP6, 6);
  const { source, destination, destinationPort } = original;
  assert.deepEqual(
    [family, source, destination, destinationPort, tcpState],
    [6, '::1', '::1', 8_081, 'established'],
  );
});

test('A flow that does not match the filter is left out', () => {
  const port = { protocol: 'tcp', number: 81 } as const;
  const matching = [
    { family: 4 },
    { family: 4, port },
    { family: 4, port, source: '10.9.0.1', destination: '10.9.0.1' },
  ] as const;
  for (const filter of matching) assert.ok(decodeFlow(recorded(TCP), filter));
  const others = [
    { family: 6 },
    { family: 4, port: { ...port, protocol: 'udp' } },
    { family: 4, port: { ...port, number: 82 } },
    { family: 4, port, source: '10.9.0.2' },
    { family: 4, port, destination: '10.9.0.2' },
  ] as const;
  for (const filter of others) assert.equal(decodeFlow(recorded(TCP), filter), undefined);
});

test('The kernel gets the filter as a tuple, with flags for the parts that count', () => {
  assert.equal(hex(encodeFlowFilter({ family: 6 })), '0a000000');
  const port = { protocol: 'tcp', number: 80 } as const;
  assert.equal(
    hex(encodeFlowFilter({ family: 4, destination: '198.18.0.1', port })),
    '02000000' +
      // The tuple: the destination address, then the protocol and the port.
      '240001800c00018008000200c612000114000280050001000600000006000300' +
      '00500000' +
      '0c0019800800010' +
      '02a000000',
  );
  assert.equal(
    hex(encodeFlowFilter({ family: 4, source: '198.18.0.1' })),
    '02000000' + '100001800c00018008000100c6120001' + '0c0019800800010001000000',
  );
});

test('The kernel gets no IPv6 address to filter, because it lists all other addresses then', () => {
  const port = { protocol: 'udp', number: 53 } as const;
  assert.equal(
    hex(encodeFlowFilter({ family: 6, port, source: 'fd00::1', destination: 'fd00::2' })),
    hex(encodeFlowFilter({ family: 6, port })),
  );
});

test('A flow is deleted by its original tuple and by its id', () => {
  assert.equal(
    hex(encodeFlowDeletion(flowIn(TCP))),
    '02000000' +
      '3400018014000180080001000a090001080002000a0900011c000280050001000600000006000200825c000006000300' +
      '00510000' +
      '08000c008b29b9a7',
  );
  assert.deepEqual([FLOW_GET, FLOW_DELETE], [0x101, 0x102]);
});

test('The zone of a flow is part of its identity', () => {
  const zone = '0600120000070000';
  assert.equal(flowIn(UDP + zone).zone, 7);
  const deletion = hex(encodeFlowDeletion(flowIn(UDP + zone)));
  assert.ok(deletion.endsWith(`08000c00161aae64${zone}`), deletion);
});

test('A flow of another protocol, or one without a tuple, is left out', () => {
  const icmp = UDP.replaceAll('0500010011000000', '0500010001000000');
  assert.equal(decodeFlow(recorded(icmp), { family: 4 }), undefined);
  assert.equal(decodeFlow(recorded('02000000'), { family: 4 }), undefined);
  assert.equal(decodeFlow(recorded(''), { family: 4 }), undefined);
});

test('A message with any damage decodes without an error', () => {
  const whole = Buffer.from(TCP, 'hex');
  const damage = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.integer({ max: 255, min: 0 })));
  fc.assert(
    fc.property(damage, fc.nat(whole.length), (changes, length) => {
      const payload = Buffer.from(whole);
      for (const [at, value] of changes) payload[at] = value;
      const message = { ...recorded(''), payload: payload.subarray(0, length) };
      const flow = decodeFlow(message, { family: 4 });
      if (flow !== undefined) encodeFlowDeletion(flow);
    }),
  );
});
