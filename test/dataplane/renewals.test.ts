/** How much of the main thread's time renewals may take. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Renewals } from '../../src/dataplane/publish/renewals.ts';
import { kindOf } from '../../src/dataplane/table/answerKinds.ts';
import { printName, wireName } from '../../src/dns/name.ts';
import { Type } from '../../src/dns/rr.ts';
import { FastZone } from '../support/fastZone.ts';
import { name } from '../support/zone.ts';

const COUNT = 100;
const nameOf = (i: number): string => `n${i}.skydns.local.`;

/** Renewals that take 1 ms for each answer. */
function slowRenewals() {
  const zone = new FastZone();
  for (let i = 0; i < COUNT; i++) zone.put(`local/skydns/n${i}`, { host: '192.0.2.1' });
  let nowMs = 1_000;
  const renewed: string[] = [];
  const renewals = new Renewals({
    ...{ table: zone.table, root: zone.catalog.root, facts: zone.tables.facts },
    settings: () => zone.settings,
    monotonicMs: () => nowMs,
    unixSeconds: () => zone.unixSeconds,
    random: () => 0,
    publish({ question }) {
      renewed.push(printName(question.qname));
      nowMs += 1;
    },
    onError(error) {
      throw error;
    },
  });
  return {
    renewed,
    wait(ms: number) {
      nowMs += ms;
    },
    /** Withdraws answers about these names, and resolves when the turn is over. */
    async withdraw(...names: readonly string[]) {
      for (const one of names) renewals.add(wireName(name(one)), 1 << kindOf(Type.A));
      await Promise.resolve();
    },
  };
}

test('Renewals of one turn end after a short time', async () => {
  const { renewed, withdraw } = slowRenewals();
  await withdraw(...Array.from({ length: COUNT }, (_, i) => nameOf(i)));
  assert.ok(renewed.length > 0 && renewed.length < 10, `${renewed.length} names`);
});

test('Renewals pause for as long as they took', async () => {
  const { renewed, wait, withdraw } = slowRenewals();
  await withdraw(nameOf(0));
  await withdraw(nameOf(1));
  assert.deepEqual(renewed, [nameOf(0)]);
  wait(1);
  await withdraw(nameOf(2));
  assert.deepEqual(renewed, [nameOf(0), nameOf(2)]);
});
