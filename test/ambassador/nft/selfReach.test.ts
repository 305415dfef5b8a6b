import assert from 'node:assert/strict';
import test from 'node:test';
import { SelfReach } from '../../../src/ambassador/nft/selfReach.ts';

class Scene {
  /** Where the addresses are. */
  readonly ports = new Map<string, number>();
  readonly told: number[] = [];
  readonly greeted: string[] = [];
  readonly reach = new SelfReach(
    {
      portsOf: (addresses) =>
        new Map([...this.ports].filter(([address]) => addresses.has(address))),
      reflect: (port) => this.told.push(port) > 0,
      close: () => {},
    },
    (address) => this.greeted.push(address),
  );

  look(times: number): void {
    for (let i = 0; i < times; i++) this.reach.look();
  }
}

test('The port of each new address is told once', () => {
  const scene = new Scene();
  scene.ports.set('172.17.0.2', 7).set('172.17.0.3', 8);
  scene.reach.want(['172.17.0.2']);
  scene.look(2);
  scene.reach.want(['172.17.0.2', '172.17.0.3']);
  scene.look(2);
  assert.deepEqual(scene.told, [7, 8]);
  assert.deepEqual(scene.greeted, []);
});

test('An address that no bridge has seen is greeted until its port is known', () => {
  const scene = new Scene();
  scene.reach.want(['172.17.0.2']);
  scene.look(2);
  scene.ports.set('172.17.0.2', 7);
  scene.look(2);
  assert.deepEqual([scene.greeted.length, scene.told], [2, [7]]);
});

test('An address behind no bridge is given up', () => {
  const scene = new Scene();
  scene.reach.want(['10.0.0.9']);
  scene.look(200);
  assert.equal(scene.greeted.length, 50);
});

test('A container that gets a former one’s address has another port', () => {
  const scene = new Scene();
  scene.ports.set('172.17.0.2', 7);
  scene.reach.want(['172.17.0.2']);
  scene.look(1);
  scene.reach.want([]);
  scene.ports.set('172.17.0.2', 9);
  scene.reach.want(['172.17.0.2']);
  scene.look(1);
  assert.deepEqual(scene.told, [7, 9]);
});
