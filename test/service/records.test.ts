/** The field `rr`: which records a service may have, and why others are refused. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { printStored } from '../../src/service/records.ts';
import { parseService } from '../../src/service/service.ts';
import { RECORD_TEXTS } from '../support/recordTexts.ts';

function parsed(value: object) {
  return parseService(Buffer.from(JSON.stringify(value), 'utf8'));
}

const refused = [
  [{ rr: 'CAA 0 issue "x"' }, 'rr: must be a list of texts'],
  [{ rr: [1] }, 'rr: must be a list of texts'],
  [{ rr: ['TXT a', 'CAA 256 issue "x"'] }, 'rr[1]: CAA: flags is not 0 to 255'],
  [{ rr: ['A 192.0.2.1'] }, 'rr[0]: A: write host and port'],
  [{ rr: ['SRV 0 0 80 a.'] }, 'rr[0]: SRV: write host and port'],
  [{ rr: ['PTR a.'] }, 'rr[0]: PTR: write host and port'],
  [{ rr: ['NULL \\# 0'] }, 'rr[0]: NULL: may not be in a zone file'],
  [{ rr: ['SOA a. b. 1 2 3 4 5'] }, 'rr[0]: SOA: the server makes it'],
  [{ rr: ['TYPE47 \\# 4 00 0001 40'] }, 'rr[0]: NSEC: belongs to the signatures of a zone'],
  [{ rr: ['CDS 0 0 0 00'] }, 'rr[0]: CDS: belongs to the signatures of a zone'],
  [
    { rr: ['TXT a', `DS 1 13 2 ${'00'.repeat(32)}`] },
    'rr[1]: DS: belongs beside the NS of a delegation',
  ],
  [{ rr: ['TYPE255 \\# 0'] }, 'rr[0]: ANY: is no type of data'],
  [{ rr: ['CNAME a.', 'TXT b'] }, 'rr: a CNAME cannot stand beside other data'],
  [{ host: '192.0.2.1', rr: ['CNAME a.'] }, 'rr: a CNAME cannot stand beside other data'],
  [{ text: 'x', rr: ['CNAME a.'] }, 'rr: a CNAME cannot stand beside other data'],
  [{ rr: ['CNAME .'] }, 'rr: a CNAME cannot lead to the root'],
  [{ rr: Array(33).fill('TXT a') }, 'rr: has more than 32 records'],
  [{ rr: Array(20).fill(`TXT "${'a'.repeat(220)}"`) }, 'rr: is above 4096 octets'],
] as const;

for (const [value, reason] of refused) {
  test(`The value ${JSON.stringify(value).slice(0, 60)} is invalid: ${reason}`, () => {
    assert.deepEqual(parsed(value), { kind: 'invalid', reason });
  });
}

test('A record of every other type is kept, and printed as it is read', () => {
  let kept = 0;
  for (const text of RECORD_TEXTS) {
    const once = parsed({ rr: [text] });
    if (once.kind === 'invalid' || once.service.target !== undefined) continue;
    const texts = once.service.attributes.records.map(printStored);
    const twice = parsed({ rr: texts });
    assert.ok(twice.kind === 'service', text);
    assert.deepEqual(twice.service.attributes.records.map(printStored), texts);
    kept++;
  }
  assert.ok(kept > 80, `${kept}`);
});

test('A service with nothing but records does not count in the names above its own', () => {
  for (const [value, aggregate] of [
    [{ rr: ['TXT a'] }, false],
    [{ rr: ['TXT a'], host: '192.0.2.1' }, true],
    [{ rr: [] }, true],
    [{ rr: null }, true],
  ] as const) {
    const { service } = parsed(value) as Extract<ReturnType<typeof parsed>, { kind: 'service' }>;
    assert.equal(service.attributes.aggregate, aggregate);
  }
});
