import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isValidName, parseName, printName } from '../../src/dns/name.ts';
import { keyOfName, keyPrefix, nameOfKey } from '../../src/service/key.ts';

const PREFIX = keyPrefix('skydns');

describe('keys and names', () => {
  for (const [key, owner, canonical] of [
    ['/skydns/local/skydns/staging/service', 'service.staging.skydns.local.', true],
    ['/skydns/local/skydns/', 'skydns.local.', false],
    ['/skydns/local/SkyDNS/Web', 'web.skydns.local.', false],
    ['/skydns/local/host.ec2.internal:app:80', 'host.ec2.internal:app:80.local.', false],
    ['/skydns/local/caf\u00e9', 'caf\\195\\169.local.', true],
    ['/skydns/local/Caf\u00e9', 'caf\\195\\169.local.', false],
    ['/skydns/local/__proto__', '__proto__.local.', true],
    ['/skydns/local/*', '*.local.', true],
  ] as const) {
    it(`The key ${key} stands for the owner name ${owner}`, () => {
      const name = nameOfKey(key, PREFIX);
      assert.ok(name.kind === 'name');
      assert.equal(printName(name.owner), owner);
      assert.equal(name.canonical, canonical);
      assert.equal(keyOfName(name.owner, PREFIX) === key, canonical);
    });
  }

  for (const key of [
    '/other/local/a',
    '/skydns//a',
    '/skydns/a/\udcff',
    '/skydns/local/a..b',
    `/skydns/${'a'.repeat(64)}`,
    `/skydns/${'abcdefgh/'.repeat(30)}x`,
  ]) {
    it(`The key ${key.slice(0, 40)} stands for no name`, () => {
      assert.equal(nameOfKey(key, PREFIX).kind, 'invalid');
    });
  }

  it('A key prefix of several components is removed whole', () => {
    const name = nameOfKey('/a/b/local/x', keyPrefix('/a/b'));
    assert.ok(name.kind === 'name');
    assert.equal(printName(name.owner), 'x.local.');
  });

  it('No key stands for a label with a slash, a dot or invalid UTF-8', () => {
    for (const text of ['a/b.local', 'a\\.b.local', '\\255.local']) {
      const name = parseName(text);
      assert.ok(name !== undefined);
      assert.equal(keyOfName(name, PREFIX), undefined, text);
    }
  });

  it('The key of a name stands for the same name', () => {
    const label = fc.stringMatching(/^[a-z0-9_*:~-]{1,20}$/);
    fc.assert(
      fc.property(fc.array(label, { minLength: 1, maxLength: 8 }), (owner) => {
        fc.pre(isValidName(owner));
        const key = keyOfName(owner, PREFIX);
        assert.ok(key !== undefined);
        assert.deepEqual(nameOfKey(key, PREFIX), { kind: 'name', owner, canonical: true });
      }),
    );
  });
});
