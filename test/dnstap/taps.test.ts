/** The taps of the main thread: what they write, and what a fault costs. */
import assert from 'node:assert/strict';
import test from 'node:test';
import dnsPacket from 'dns-packet';
import type { DnsClient } from '../../src/dns/message.ts';
import { ClientTap, forwarderTap } from '../../src/dnstap/clientTap.ts';
import { newTapMemory, TapRingReader } from '../../src/dnstap/tapRing.ts';
import { TapWriter } from '../../src/dnstap/tapWriter.ts';
import type { ExchangeRoute } from '../../src/forward/exchange/exchange.ts';
import { type CapturedMessage, decodeFrame } from '../support/tapCapture.ts';

const CLIENT: DnsClient = { transport: 'udp', address: '192.0.2.7', port: 4000 };
const ROUTE: ExchangeRoute = {
  transport: 'dot',
  from: { address: '192.0.2.1', port: 4001 },
  to: { address: '192.0.2.2', port: 853 },
};

function message(name: string, type: 'query' | 'response' = 'query'): Buffer {
  return dnsPacket.encode({ type, id: 7, questions: [{ type: 'A', name }] });
}

function ring() {
  const start = { memory: newTapMemory(1), sample: 1, identity: undefined, version: 'v' };
  const reader = new TapRingReader(start.memory, 0);
  const errors: unknown[] = [];
  const written = (): CapturedMessage[] => {
    const found: CapturedMessage[] = [];
    for (let taken = reader.take(1); taken !== undefined; taken = reader.take(1))
      found.push(decodeFrame(taken.octets.subarray(4)));
    return found;
  };
  const options = {
    ...{ writer: new TapWriter(start, 0), sample: 1, isOurs: () => true, onWritten: () => {} },
    onError: (error: unknown) => void errors.push(error),
  };
  return { options, written, errors, dropped: () => reader.takeDropped() };
}

test('The tap keeps a query of its own if the answer comes later, also of a Buffer', () => {
  const { options, written } = ring();
  let answer = (): void => {};
  const reply = message('www.example', 'response');
  const respond = new ClientTap(options).tapped((_packet, _client, send) => {
    answer = () => send(reply);
  });
  const query = message('www.example');
  const packet = Buffer.from(query);
  respond(packet, CLIENT, () => {});
  packet.fill(0xff); // the next packet
  answer();
  const [first, second] = written();
  assert.deepEqual(first?.octets, query);
  assert.deepEqual(second?.octets, reply);
});

test('An exchange with an upstream is two messages, and none without an address of ours', () => {
  const { options, written, errors, dropped } = ring();
  const observe = forwarderTap(options);
  const [query, reply] = [message('www.example'), message('www.example', 'response')];
  observe(query, ROUTE)(reply);
  assert.deepEqual(
    written().map(({ type, queryAddress, responseAddress }) => [
      type,
      queryAddress,
      responseAddress,
    ]),
    ['FORWARDER_QUERY', 'FORWARDER_RESPONSE'].map((type) => [type, '192.0.2.1', '192.0.2.2']),
  );
  observe(query, { ...ROUTE, from: undefined })(reply);
  assert.deepEqual(written(), []);
  assert.deepEqual(errors, []);
  assert.equal(dropped(), 2);
});

test('A fault of the tap costs messages, and no exchange with an upstream', () => {
  const { options, written, errors, dropped } = ring();
  const observe = forwarderTap(options);
  const from = { address: '', port: 0 };
  observe(message('www.example'), { ...ROUTE, from })(message('www.example', 'response'));
  assert.equal(errors.length, 2);
  assert.equal(dropped(), 2);
  assert.deepEqual(written(), []);
});
