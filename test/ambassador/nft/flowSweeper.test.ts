import assert from 'node:assert/strict';
import test from 'node:test';
import { FlowSweeper, type SweptRoute } from '../../../src/ambassador/nft/flowSweeper.ts';
import type { KernelMatch } from '../../../src/ambassador/nft/kernelRoute.ts';
import type { FlowFilter, TcpState, TrackedFlow } from '../../../src/kernel/conntrackMessage.ts';
import { consumer, virtual } from '../../support/kernelTableScene.ts';

const HOST = '172.17.0.1';
const CLIENT = '172.17.0.2';
const A = '10.0.0.1:8080';
const B = '10.0.0.2:8080';
const TCP = virtual('198.18.0.1', 80, 'tcp');
const UDP = virtual('198.18.0.1', 53, 'udp');
const LINK = consumer(CLIENT, 6379, 'tcp');

let nextPort = 40_000;

/** A flow of the client to the destination, which was led to the backend. */
function flow(
  protocol: 'tcp' | 'udp',
  destination: string,
  backend: string,
  tcpState: TcpState | undefined = protocol === 'tcp' ? 'established' : undefined,
): TrackedFlow {
  const sourcePort = nextPort++;
  const [address = '', port] = destination.split(':');
  const [to = '', toPort] = backend.split(':');
  return {
    ...{ family: 4, protocol, tcpState, id: sourcePort, zone: undefined },
    original: {
      ...{ source: CLIENT, sourcePort, destination: address, destinationPort: Number(port) },
    },
    reply: {
      ...{
        source: to,
        sourcePort: Number(toPort),
        destination: CLIENT,
        destinationPort: sourcePort,
      },
    },
  };
}

/** Connection tracking in memory, with a clock that the test advances. */
class Scene {
  nowMs = 0;
  flows: TrackedFlow[] = [];
  looks: FlowFilter[] = [];
  /** How long a listing takes; it fails if undefined. */
  lookMs: number | undefined = 0;
  readonly sweeper = new FlowSweeper({
    conntrack: {
      list: (filter) => {
        this.looks.push(filter);
        if (this.lookMs === undefined) return { kind: 'failed', code: 'EAGAIN' };
        this.nowMs += this.lookMs;
        return { kind: 'complete', entries: this.flows };
      },
      delete: (one) => {
        const before = this.flows.length;
        this.flows = this.flows.filter((each) => each !== one);
        return this.flows.length < before;
      },
    },
    hostAddresses: () => [HOST],
    monotonicMs: () => this.nowMs,
    onDeleted: () => {
      this.deleted++;
    },
  });
  deleted = 0;

  change(match: KernelMatch, serving: readonly string[], more: Partial<SweptRoute> = {}): void {
    this.sweeper.noteChange({
      ...{ match, drainSeconds: 30 },
      allowed: { serving: new Set(serving), former: undefined },
      ...more,
    });
  }

  end(match: KernelMatch, former: readonly string[], drainSeconds = 30): void {
    const allowed = { serving: new Set<string>(), former: new Set(former) };
    this.change(match, [], { allowed, drainSeconds });
  }

  /** Does everything that is due until that time. */
  runTo(ms: number): void {
    let nextMs = this.sweeper.sweep();
    while (nextMs !== undefined && nextMs <= ms) {
      this.nowMs = Math.max(this.nowMs, nextMs);
      nextMs = this.sweeper.sweep();
    }
    this.nowMs = ms;
  }
}

test('UDP flows and half-open connections to a backend that left end at once', () => {
  const scene = new Scene();
  const [udp, syn] = [flow('udp', '198.18.0.1:53', A), flow('tcp', '198.18.0.1:80', A, 'synSent')];
  const stays = flow('udp', '198.18.0.1:53', B);
  scene.flows = [udp, syn, stays];
  scene.change(UDP, [B]);
  scene.change(TCP, [B]);
  scene.sweeper.sweep();
  assert.deepEqual(scene.flows, [stays]);
  assert.equal(scene.deleted, 2);
});

test('A connection to a backend that left ends when its drain time is over', () => {
  const scene = new Scene();
  scene.flows = [flow('tcp', '198.18.0.1:80', A), flow('tcp', '198.18.0.1:80', B)];
  scene.change(TCP, [B]);
  scene.runTo(29_999);
  assert.equal(scene.flows.length, 2);
  scene.runTo(30_000);
  assert.deepEqual(
    scene.flows.map(({ reply }) => reply.source),
    ['10.0.0.2'],
  );
  assert.equal(scene.sweeper.sweep(), undefined, 'nothing is left to do');
});

test('The drain time begins when the backend leaves, not with later changes of the route', () => {
  const scene = new Scene();
  scene.flows = [flow('tcp', '198.18.0.1:80', A)];
  scene.change(TCP, [B]);
  for (let ms = 5_000; ms <= 25_000; ms += 5_000) {
    scene.runTo(ms);
    scene.change(TCP, [B, `10.0.0.${ms}:8080`]);
  }
  scene.runTo(29_999);
  assert.equal(scene.flows.length, 1);
  scene.runTo(30_000);
  assert.deepEqual(scene.flows, []);
});

test('A backend that comes back keeps its connections, and later gets a whole drain time', () => {
  const scene = new Scene();
  scene.flows = [flow('tcp', '198.18.0.1:80', A)];
  scene.change(TCP, [B]);
  scene.runTo(20_000);
  scene.change(TCP, [A, B]);
  scene.runTo(60_000);
  assert.equal(scene.flows.length, 1);
  scene.change(TCP, [B]);
  scene.runTo(89_999);
  assert.equal(scene.flows.length, 1);
  scene.runTo(90_000);
  assert.deepEqual(scene.flows, []);
});

test('A drain time of 0 ends connections at once, and one of -1 never', () => {
  const scene = new Scene();
  const stays = flow('tcp', '198.18.0.1:81', A);
  scene.flows = [flow('tcp', '198.18.0.1:80', A), stays];
  scene.change(TCP, [B], { drainSeconds: 0 });
  scene.change(virtual('198.18.0.1', 81, 'tcp'), [B], { drainSeconds: -1 });
  scene.runTo(1e9);
  assert.deepEqual(scene.flows, [stays]);
  assert.equal(scene.sweeper.sweep(), undefined, 'it is not looked at for ever');
});

test('A packet that was on its way when the route changed is found a little later', () => {
  const scene = new Scene();
  scene.change(UDP, [B]);
  scene.runTo(100);
  scene.flows = [flow('udp', '198.18.0.1:53', A)];
  scene.runTo(300);
  assert.deepEqual(scene.flows, []);
});

test('The connections of a dead backend end at once, whether the route or the death comes first', () => {
  for (const isDeathFirst of [false, true]) {
    for (const drainSeconds of [30, -1]) {
      const scene = new Scene();
      scene.flows = [flow('tcp', '198.18.0.1:80', A), flow('tcp', '198.18.0.1:80', B)];
      if (isDeathFirst) scene.sweeper.noteDeath(['10.0.0.1']);
      scene.change(TCP, [B], { drainSeconds });
      scene.runTo(1_000);
      if (!isDeathFirst) scene.sweeper.noteDeath(['10.0.0.1']);
      scene.runTo(1_100);
      assert.equal(scene.flows.length, 1, `${isDeathFirst} ${drainSeconds}`);
    }
  }
});

test('A death is forgotten, because another container gets the address', () => {
  const scene = new Scene();
  scene.sweeper.noteDeath(['10.0.0.1']);
  scene.runTo(20_000);
  scene.flows = [flow('tcp', '198.18.0.1:80', A)];
  scene.change(TCP, [B]);
  scene.runTo(21_000);
  assert.equal(scene.flows.length, 1);
});

test('Of a route that has ended only the flows to its own backends end', () => {
  const scene = new Scene();
  const foreign = flow('udp', '198.18.0.1:53', '10.9.9.9:53');
  scene.flows = [flow('udp', '198.18.0.1:53', A), flow('udp', '198.18.0.1:53', B), foreign];
  scene.change(UDP, [A]);
  scene.end(UDP, [A, B]);
  scene.sweeper.sweep();
  assert.deepEqual(scene.flows, [foreign]);
});

test('A connection that drains goes on draining when its route ends', () => {
  const scene = new Scene();
  scene.flows = [flow('tcp', '198.18.0.1:80', A)];
  scene.change(TCP, [A]);
  scene.sweeper.sweep();
  scene.change(TCP, [B]);
  scene.runTo(10_000);
  scene.end(TCP, [B]);
  scene.runTo(29_999);
  assert.equal(scene.flows.length, 1);
  scene.runTo(30_000);
  assert.deepEqual(scene.flows, []);
});

test('A consumer’s flows to other hosts, and its connections from before the link, stay', () => {
  const scene = new Scene();
  const elsewhere = flow('tcp', '10.5.0.1:6379', '10.5.0.1:6379', 'synSent');
  const before = flow('tcp', `${HOST}:6379`, `${HOST}:6379`);
  const half = flow('tcp', `${HOST}:6379`, `${HOST}:6379`, 'synSent');
  scene.flows = [elsewhere, before, half, flow('tcp', `${HOST}:6379`, B)];
  scene.change(LINK, [A], { drainSeconds: 0 });
  scene.runTo(1_000);
  assert.deepEqual(scene.flows, [elsewhere, before]);
});

test('Closed connections stay: new ones between the same ports make new entries', () => {
  const scene = new Scene();
  const closed = (['timeWait', 'close'] as const).map((state) =>
    flow('tcp', '198.18.0.1:80', A, state),
  );
  scene.flows = closed;
  scene.change(TCP, [B], { drainSeconds: 0 });
  scene.runTo(1_000);
  assert.deepEqual(scene.flows, closed);
});

test('Flows of routes that have not changed stay, and their filters are not asked for', () => {
  const scene = new Scene();
  const other = flow('udp', '198.18.0.2:53', A);
  scene.flows = [other];
  scene.change(UDP, [B]);
  scene.change(LINK, []);
  scene.sweeper.sweep();
  assert.deepEqual(scene.flows, [other]);
  assert.deepEqual(scene.looks, [
    { family: 4, port: { protocol: 'udp', number: 53 }, destination: '198.18.0.1' },
    { family: 4, port: { protocol: 'tcp', number: 6379 }, source: CLIENT },
  ]);
});

test('Many changes at once cause one look at all flows of each family', () => {
  const scene = new Scene();
  scene.flows = [flow('udp', '198.18.0.7:53', A)];
  for (let i = 0; i < 20; i++) scene.change(virtual(`198.18.0.${i}`, 53, 'udp'), [B]);
  scene.change(virtual('fd00::1', 53, 'udp'), []);
  scene.sweeper.sweep();
  assert.deepEqual(scene.looks, [{ family: 4 }, { family: 6 }]);
  assert.deepEqual(scene.flows, []);
});

test('A route that changes all the time is looked at all the same, with pauses', () => {
  const scene = new Scene();
  scene.lookMs = 10;
  for (let i = 0; i < 1_000; i++) {
    scene.flows = [flow('udp', '198.18.0.1:53', A)];
    scene.change(UDP, [B]);
    scene.sweeper.sweep();
    scene.nowMs += 1;
  }
  assert.ok(scene.deleted > 20, `${scene.deleted} were deleted`);
  assert.ok(scene.looks.length * 10 < scene.nowMs / 3, `${scene.looks.length} looks`);
});

test('A look that fails is repeated', () => {
  const scene = new Scene();
  scene.flows = [flow('udp', '198.18.0.1:53', A)];
  scene.lookMs = undefined;
  scene.change(UDP, [B]);
  scene.runTo(900);
  assert.equal(scene.flows.length, 1);
  scene.lookMs = 0;
  scene.runTo(1_500);
  assert.deepEqual(scene.flows, []);
});
