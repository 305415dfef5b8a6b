/** The gRPC stream of a watch. Except for the last test, the peers here do what no etcd does. */
import assert from 'node:assert/strict';
import { createServer, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { EtcdStore } from '../../src/store/etcd/etcdStore.ts';
import { storeErrorOf } from '../../src/store/etcd/failure.ts';
import { type GrpcStream, MessageCutter } from '../../src/store/etcd/grpcStream.ts';
import { WatchConnections } from '../../src/store/etcd/watchConnection.ts';
import { StoreError, type StoreErrorCode, type WatchBatch } from '../../src/store/store.ts';
import { startEtcd } from '../support/etcd.ts';
import { until } from '../support/until.ts';

/** Longer than the silence after which the busy watch requests a sign of life, and than its wait for that sign. */
const BUSY_MS = 1_000;
const PAUSE_MS = 10;
const GRPC_HEADERS = { ':status': 200, 'content-type': 'application/grpc' };

function framed(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** Calls `use` with connections to that server. */
async function withConnections(
  server: Pick<Server, 'listen' | 'address' | 'close'>,
  use: (watches: WatchConnections) => Promise<void>,
): Promise<void> {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  const watches = new WatchConnections({
    ...{ address: `127.0.0.1:${port}`, tls: undefined },
    ...{ keepaliveTimeMs: 500, keepaliveTimeoutMs: 5_000, connectTimeoutMs: 2_000 },
  });
  try {
    await use(watches);
  } finally {
    watches.close();
    await new Promise((resolve) => {
      server.close(resolve);
    });
  }
}

/** Calls `use` with a stream to a peer that answers each stream with `answer`. */
function withStream(
  answer: (stream: ServerHttp2Stream) => void,
  use: (stream: GrpcStream) => Promise<void>,
): Promise<void> {
  const server = createServer();
  server.on('stream', (stream) => {
    stream.on('error', () => undefined);
    answer(stream);
  });
  return withConnections(server, (watches) => use(watches.open(undefined)));
}

async function readAll(stream: GrpcStream): Promise<Buffer[]> {
  const all: Buffer[] = [];
  for await (const turn of stream) all.push(...turn);
  return all;
}

/** The stream fails with that code, and its message matches. */
async function fails(stream: GrpcStream, code: StoreErrorCode, message: RegExp): Promise<void> {
  await assert.rejects(readAll(stream), (error) => {
    const failure = error instanceof StoreError ? error : storeErrorOf(error, 'etcd');
    assert.equal(failure.code, code, failure.message);
    assert.match(failure.message, message);
    return true;
  });
}

/** Infinity: the peer has sent all and has closed the stream. */
const sentOctets = (peer: ServerHttp2Stream | undefined): number =>
  peer?.session?.socket.bytesWritten ?? Number.POSITIVE_INFINITY;

describe('MessageCutter', () => {
  it('The same messages come out wherever the octets are cut', () => {
    const messages = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 });
    fc.assert(
      fc.property(messages, fc.array(fc.integer({ min: 1, max: 400 })), (sent, sizes) => {
        let rest = Buffer.concat(sent.map(framed));
        const cutter = new MessageCutter();
        const received: Buffer[] = [];
        for (const size of [...sizes, Number.POSITIVE_INFINITY]) {
          assert.ok(cutter.cut(rest.subarray(0, size), received));
          rest = rest.subarray(Math.min(size, rest.length));
        }
        assert.deepEqual(
          received.map((message) => [...message]),
          sent.map((message) => [...message]),
        );
      }),
    );
  });

  it('A compressed message and a length above 2^31 - 1 are refused', () => {
    assert.equal(new MessageCutter().cut(Buffer.of(1, 0, 0, 0, 0), []), false);
    assert.equal(new MessageCutter().cut(Buffer.of(0, 0x80, 0, 0, 0), []), false);
  });
});

describe('streams', { concurrency: 4 }, () => {
  it('A stream delivers its messages before the error that follows them', () =>
    withStream(
      (peer) => {
        peer.respond(GRPC_HEADERS, { waitForTrailers: true });
        peer.on('wantTrailers', () =>
          peer.sendTrailers({ 'grpc-status': '14', 'grpc-message': 'no%20leader' }),
        );
        peer.write(framed(Buffer.from('a')));
        peer.end(framed(Buffer.from('b')));
      },
      async (stream) => {
        const received: string[] = [];
        const reading = (async () => {
          for await (const turn of stream) received.push(...turn.map(String));
        })();
        await assert.rejects(reading, /no leader/);
        assert.deepEqual(received, ['a', 'b']);
      },
    ));

  it('A status in the headers ends the stream', () =>
    withStream(
      (peer) =>
        peer.respond(
          { ...GRPC_HEADERS, 'grpc-status': '16', 'grpc-message': 'invalid auth token' },
          { endStream: true },
        ),
      (stream) => fails(stream, 'denied', /invalid auth token/),
    ));

  it('The status 0 ends the iteration', () =>
    withStream(
      (peer) => {
        peer.respond(GRPC_HEADERS, { waitForTrailers: true });
        peer.on('wantTrailers', () => peer.sendTrailers({ 'grpc-status': '0' }));
        peer.end(framed(Buffer.from('a')));
      },
      async (stream) => assert.deepEqual((await readAll(stream)).map(String), ['a']),
    ));

  it('A stream fails with `unavailable` after octets that are not gRPC', () =>
    withStream(
      (peer) => {
        peer.respond(GRPC_HEADERS);
        peer.write('HTTP/1.1 400 Bad Request');
      },
      (stream) => fails(stream, 'unavailable', /readable message/),
    ));

  it('A stream fails with the HTTP status of a gateway', () =>
    withStream(
      (peer) => peer.respond({ ':status': 503 }, { endStream: true }),
      (stream) => fails(stream, 'unavailable', /HTTP status 503/),
    ));

  it('A stream fails when the peer ends it without a status', () =>
    withStream(
      (peer) => {
        peer.respond(GRPC_HEADERS);
        peer.close();
      },
      (stream) => fails(stream, 'unavailable', /closed/),
    ));

  /** `greeting` is all that the peer ever sends. */
  const failsAtSilentPeer = (greeting: Buffer): Promise<void> => {
    const sockets = new Set<{ destroy(): void }>();
    const silent = createTcpServer((socket) => {
      sockets.add(socket.on('error', () => undefined));
      socket.write(greeting);
    });
    return withConnections(silent, async (watches) => {
      await fails(watches.open(undefined), 'unavailable', /silent/);
      for (const socket of sockets) socket.destroy();
    });
  };

  it('A peer that accepts connections and stays silent makes the stream fail', () =>
    failsAtSilentPeer(Buffer.of()));

  it('A peer that sends its settings and then stays silent makes the stream fail', () =>
    failsAtSilentPeer(Buffer.of(0, 0, 0, 4, 0, 0, 0, 0, 0)));

  it('A refused connection makes the stream fail with the reason', () =>
    withConnections(createTcpServer(), async (watches) => {
      void watches;
      const nobody = new WatchConnections({
        ...{ address: '127.0.0.1:1', tls: undefined },
        ...{ keepaliveTimeMs: 500, keepaliveTimeoutMs: 5_000, connectTimeoutMs: 2_000 },
      });
      await fails(nobody.open(undefined), 'unavailable', /ECONNREFUSED/);
    }));

  it('A caller can cancel a stream at any moment while its connection opens', () =>
    withConnections(createServer(), async (watches) => {
      for (const pause of [undefined, process.nextTick, setImmediate]) {
        const stream = watches.open(undefined);
        if (pause !== undefined) await new Promise<void>((resolve) => pause(() => resolve()));
        stream.cancel();
        // Node emits the connection's event later; an exception in its handler would end the process.
        await sleep(50);
      }
    }));

  it('While the reader is busy the peer has to wait, and no message is lost', () => {
    const count = 64;
    const message = Buffer.alloc(1 << 20, 7);
    let peer: ServerHttp2Stream | undefined;
    return withStream(
      (stream) => {
        peer = stream;
        stream.respond(GRPC_HEADERS, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
        for (let i = 0; i < count; i++) stream.write(framed(message));
        stream.end();
      },
      async (stream) => {
        let received = 0;
        for await (const turn of stream) {
          if (received === 0) {
            let sent = -1;
            for (; sent !== sentOctets(peer); await sleep(300)) sent = sentOctets(peer);
            assert.ok(sent < (count / 2) * message.length, String(sent));
          }
          received += turn.length;
          assert.ok(turn.every((octets) => octets.equals(message)));
        }
        assert.equal(received, count);
      },
    );
  });

  it('Two watches share a connection, which closes after the second one', async () => {
    const server = createServer();
    let connections = 0;
    server.on('connection', (socket) => {
      connections++;
      socket.on('close', () => connections--);
    });
    server.on('stream', (stream) => {
      stream.on('error', () => undefined);
      stream.respond(GRPC_HEADERS);
      stream.write(framed(Buffer.from('a')));
    });
    await withConnections(server, async (watches) => {
      const [first, second] = [watches.open(undefined), watches.open(undefined)];
      for (const stream of [first, second]) {
        const { value } = await stream[Symbol.asyncIterator]().next();
        assert.deepEqual(value?.map(String), ['a']);
      }
      assert.equal(connections, 1);
      first.cancel();
      await sleep(50);
      assert.equal(connections, 1);
      second.cancel();
      await until('the connection is closed', () => connections === 0);
    });
  });
});

describe('a watch of an etcd that lives', () => {
  it('A watch does not end because its process was too busy to read', async () => {
    const etcd = await startEtcd();
    const store = new EtcdStore({ endpoints: [etcd.endpoint], watchSilenceMs: 400 });
    const end = new AbortController();
    const { revision } = await store.get('/a/0');
    const batches: WatchBatch[] = [];
    const watching = (async (): Promise<void> => {
      for await (const batch of store.watch('/a/', revision + 1, end.signal)) batches.push(batch);
    })();
    await until('the watch is established', () => batches.length > 0);
    const work = setInterval(() => {
      const startMs = performance.now();
      while (performance.now() - startMs < BUSY_MS);
    }, BUSY_MS + PAUSE_MS);
    try {
      const quiet = sleep(10 * (BUSY_MS + PAUSE_MS)).then(() => 'the watch goes on');
      assert.equal(await Promise.race([watching, quiet]), 'the watch goes on');
    } finally {
      clearInterval(work);
      end.abort();
      await store.close();
      await etcd.stop();
    }
  });
});

describe('watchMerged', () => {
  it('watchMerged gives the changes of `watch`, in the same order and without previous values', async () => {
    const etcd = await startEtcd();
    const store = new EtcdStore({ endpoints: [etcd.endpoint] });
    const end = new AbortController();
    try {
      const first = await store.put('/a/0', Buffer.from('0'));
      assert.ok(first.done);
      const from = first.entry.modRevision;
      const writes = Array.from({ length: 200 }, (_, i) => store.put(`/a/${i % 7}`, Buffer.of(i)));
      await Promise.all(writes);
      const { revision: last } = await store.deleteTree('/a/');
      const read = async (batches: AsyncIterable<WatchBatch>): Promise<WatchBatch[]> => {
        const all: WatchBatch[] = [];
        for await (const batch of batches) {
          all.push(batch);
          if (batch.revision >= last) return all;
        }
        return all;
      };
      const [plain, merged] = await Promise.all([
        read(store.watch('/a/', from, end.signal)),
        read(store.watchMerged('/a/', from, end.signal)),
      ]);
      const changes = plain.flatMap((batch) => batch.changes);
      assert.equal(changes.length, 201 + 7);
      assert.ok(changes.slice(1).some(({ previous }) => previous !== undefined));
      assert.deepEqual(
        merged.flatMap((batch) => batch.changes),
        changes.map((change) => ({ ...change, previous: undefined })),
      );
      assert.ok(merged.length < plain.length);
    } finally {
      end.abort();
      await store.close();
      await etcd.stop();
    }
  });
});
