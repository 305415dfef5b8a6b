/** A registrar whose reads of the store are slower than its inspections deletes no record of a running container. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RegistrarEvent } from '../../../src/registrar/registrarEvents.ts';
import { type Running, withRegistrarFixture } from '../../support/registrarFixture.ts';

const CONTAINERS = 12;

/** The deletes that the registrar made, or that the dry run reported. */
function deletesOf({ events }: Running): RegistrarEvent[] {
  return events.filter((event) =>
    event.kind === 'wrote' || event.kind === 'would' ? event.operation.kind === 'delete' : false,
  );
}

for (const isDryRun of [false, true])
  it(`After a restart ${isDryRun ? 'a dry run reports' : 'a registrar makes'} no deletion of a running container’s name`, () =>
    withRegistrarFixture(async (fixture) => {
      const first = fixture.start();
      for (let n = 0; n < CONTAINERS; n++) {
        fixture.engine.run({
          env: { DNS_NAME: `c${n}` },
          ip: `10.1.0.${n + 2}`,
          exposed: ['80/tcp'],
        });
      }
      const before = await fixture.hosts();
      assert.equal(Object.keys(before).length, CONTAINERS);
      await fixture.end(first);
      // Each inspection answers a moment after the one before it, and each read takes longer than that.
      let inspected = 0;
      fixture.engine.faults.beforeAnswer = () => sleep(5 * ++inspected);
      const second = fixture.start({ dryRun: isDryRun });
      second.link.delay = (operation) =>
        operation === 'get' || operation === 'snapshot' ? sleep(12) : undefined;
      for (let turn = 0; turn < 40; turn++) {
        await sleep(10);
        await fixture.settle();
      }
      await fixture.advance(10_000);
      assert.deepEqual(deletesOf(second), []);
      assert.deepEqual(await fixture.hosts(), before);
    }));
