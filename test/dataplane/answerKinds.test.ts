import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  KIND_COUNT,
  kindOf,
  NO_KIND,
  OTHER_KIND,
  readerKindOf,
  TABLE_TYPES,
} from '../../src/dataplane/table/answerKinds.ts';
import { Type } from '../../src/dns/rr.ts';

/** Transfers, OPT, and DNSSEC's own types. */
const SLOW: readonly number[] = [
  ...[Type.AXFR, Type.IXFR, Type.OPT],
  ...[Type.DS, Type.DNSKEY, Type.CDS, Type.CDNSKEY, Type.NSEC, Type.RRSIG, Type.NXNAME],
];

test('Each type of the table has a kind of its own, and all other types share one', () => {
  const own = new Map<number, number>(TABLE_TYPES.map(([, type], index) => [type, index]));
  for (let qtype = 0; qtype <= 0xffff; qtype++) {
    const kind = own.get(qtype) ?? OTHER_KIND;
    assert.equal(kindOf(qtype), kind, `QTYPE ${qtype}`);
    assert.ok(kind < KIND_COUNT);
  }
});

test('A reader has no kind for transfers, OPT and types of DNSSEC, and the kinds of the writer for all other types', () => {
  for (let qtype = 0; qtype <= 0xffff; qtype++) {
    const kind = SLOW.includes(qtype) ? NO_KIND : kindOf(qtype);
    assert.equal(readerKindOf(qtype), kind, `QTYPE ${qtype}`);
  }
});
