/** Docker's event stream gives the same events wherever it is cut, and the parser ignores text that is no event. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import type { EngineEvent } from '../../../src/registrar/engine/engine.ts';
import { LineSplitter, parseEvent } from '../../../src/registrar/engine/eventLines.ts';
import { EventQueue } from '../../../src/registrar/engine/eventStream.ts';

const ID = 'c'.repeat(64);
const NANO = '1795370708543808495';

/** A line as Docker 20.10 writes it. */
function line(action: string, attributes: Record<string, string> = {}, nano = NANO): string {
  const Actor = JSON.stringify({ ID, Attributes: { image: 'bb', name: 'web', ...attributes } });
  return `{"status":${JSON.stringify(action)},"id":"${ID}","from":"bb","Type":"container","Action":${JSON.stringify(action)},"Actor":${Actor},"scope":"local","time":1795370708,"timeNano":${nano}}`;
}

function eventsOf(pieces: Iterable<Uint8Array>): (EngineEvent | undefined)[] {
  const splitter = new LineSplitter();
  return [...pieces].flatMap((piece) => (splitter.push(piece) ?? []).map(parseEvent));
}

function* pieces(octets: Uint8Array, cuts: readonly number[]): Generator<Uint8Array> {
  const places = cuts.map((cut) => cut % (octets.length + 1)).sort((a, b) => a - b);
  let from = 0;
  for (const place of [...places, octets.length]) {
    yield octets.subarray(from, place);
    from = place;
  }
}

const action = fc.constantFrom('start', 'die', 'kill', 'rename', 'health_status: healthy');
const attributes = fc.dictionary(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }));

test('The events are the same for any split of the stream', () => {
  const event = fc.tuple(action, attributes, fc.bigInt(1n, 1n << 62n));
  fc.assert(
    fc.property(fc.array(event), fc.array(fc.nat()), (events, cuts) => {
      const text = events.map(([name, labels, nano]) => `${line(name, labels, `${nano}`)}\n`);
      const octets = new TextEncoder().encode(text.join(''));
      const expected = events.map(([name, labels, nano]) => ({
        type: 'container',
        action: name,
        containerId: ID,
        signal: name === 'kill' && Object.hasOwn(labels, 'signal') ? labels.signal : undefined,
        timeNano: `${nano}`,
      }));
      assert.deepEqual(eventsOf(pieces(octets, cuts)), expected);
      assert.deepEqual(eventsOf(pieces(octets, [...octets.keys()])), expected);
    }),
    { numRuns: 60 },
  );
});

test('The lines are the same for any split of the text, with whole characters', () => {
  const text = fc.array(fc.string({ unit: 'binary' }).map((part) => part.replaceAll('\n', '')));
  fc.assert(
    fc.property(text, fc.array(fc.nat()), (lines, cuts) => {
      const octets = new TextEncoder().encode(lines.map((part) => `${part}\n`).join(''));
      for (const places of [cuts, [...octets.keys()]]) {
        const splitter = new LineSplitter();
        const got = [...pieces(octets, places)].flatMap((piece) => splitter.push(piece) ?? []);
        assert.deepEqual(got, lines);
      }
    }),
  );
});

test('No event text makes the parser throw', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array()), (chunks) => {
      eventsOf(chunks);
    }),
  );
  fc.assert(
    fc.property(fc.json(), (text) => {
      parseEvent(text);
    }),
  );
});

test('Event times keep all digits of their nanoseconds, with any text in the labels', () => {
  const hostile = { timeNano: '1', x: '"timeNano":2', '"timeNano":3,"y': '4' };
  assert.equal(parseEvent(line('start', hostile))?.timeNano, NANO);
  assert.notEqual(String(Number(NANO)), NANO);
});

const connect = (id: string, attributes: object): string =>
  `{"Type":"network","Action":"connect","Actor":{"ID":"${id}","Attributes":${JSON.stringify(attributes)}},"scope":"local","time":1,"timeNano":2}`;

test("Docker's network event names the container in an attribute", () => {
  const json = (attributes: object): string => connect('net', attributes);
  assert.deepEqual(parseEvent(json({ container: ID, name: 'bridge', type: 'bridge' })), {
    type: 'network',
    action: 'connect',
    containerId: ID,
    signal: undefined,
    timeNano: '2',
  });
  assert.equal(parseEvent(json({ name: 'bridge', type: 'bridge' })), undefined);
});

test("Podman's network event has the container's id where Docker has the network's", () => {
  const attributes = { containerExitCode: '0', image: '', name: 'web', podId: '' };
  for (const each of [attributes, { ...attributes, network: 'n1' }]) {
    const event = parseEvent(connect(ID, each));
    assert.deepEqual([event?.type, event?.containerId], ['network', ID]);
  }
});

test('The parser ignores other events and text that is no event', () => {
  const others = ['create', 'exec_create: sh', 'exec_die', 'attach', 'stop', 'oom', 'top', ''];
  for (const name of others) assert.equal(parseEvent(line(name)), undefined, name);
  const none = ['', ' ', 'null', '1', '[]', '{}', '{"Type":"container"}', line('start').slice(1)];
  for (const text of none) assert.equal(parseEvent(text), undefined, text);
  const image = line('start').replace('"Type":"container"', '"Type":"image"');
  assert.equal(parseEvent(image), undefined);
});

test('A line without an end is dropped', () => {
  const splitter = new LineSplitter(10);
  const octets = (text: string): Uint8Array => new TextEncoder().encode(text);
  assert.deepEqual(splitter.push(octets('0123456789')), []);
  assert.deepEqual(splitter.push(octets('\nabc')), ['0123456789']);
  assert.equal(splitter.push(octets('defghijklmn')), undefined);
});

test('The event queue keeps the order, its limit, and the events before the end', async () => {
  const queue = new EventQueue<number>(3);
  assert.deepEqual(
    [1, 2, 3, 4].map((item) => queue.push(item)),
    [true, true, true, false],
  );
  const reader = queue.drain();
  assert.deepEqual(await reader.next(), { value: 1, done: false });
  assert.equal(queue.push(5), true);
  queue.end(new Error('over'));
  assert.deepEqual((await reader.next()).value, 2);
  assert.deepEqual((await reader.next()).value, 3);
  assert.deepEqual((await reader.next()).value, 5);
  await assert.rejects(reader.next(), /over/);
});

test('The event queue wakes its reader, and a drop removes the waiting events', async () => {
  const queue = new EventQueue<number>(3);
  const reader = queue.drain();
  const first = reader.next();
  queue.push(1);
  assert.deepEqual(await first, { value: 1, done: false });
  queue.push(2);
  queue.drop();
  assert.deepEqual(await reader.next(), { value: undefined, done: true });
});
