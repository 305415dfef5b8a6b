import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeHeaderOnly, encodeQuery } from '../../src/dns/encode.ts';
import { nameKey } from '../../src/dns/name.ts';
import { TsigError } from '../../src/dns/rr.ts';
import { signQuery, verifyTsig } from '../../src/transfer/tsig.ts';
import { parseTsigKeys, type TsigKey, type TsigKeys } from '../../src/transfer/tsigKeys.ts';
import { name, question } from '../support/zone.ts';

const NOW = 1_796_000_000;

function keyOf(id: string, secret: string): TsigKey {
  return { name: name(id), algorithm: 'hmac-sha256', secret: Buffer.from(secret) };
}

const KEY = keyOf('secondary.', 'a secret of the secondary');

function keysOf(...keys: readonly TsigKey[]): TsigKeys {
  return new Map(keys.map((key) => [nameKey(key.name), key]));
}

const QUERY = encodeQuery({
  ...{ id: 7, question: question('skydns.local.', 'SOA') },
  ...{ recursionDesired: false, checkingDisabled: false },
});

/** The query with a signature cut or lengthened to so many octets; `changed` is added to its first octet. */
function signedWith(octets: number, changed = 0): Buffer {
  const { signed } = signQuery(QUERY, KEY, NOW);
  // Behind the signature are its original id, an error, and the length of other data.
  const macAt = signed.length - 6 - 32;
  const mac = Buffer.concat([signed.subarray(macAt, macAt + 32), Buffer.alloc(32)]);
  mac.writeUInt8((mac.readUInt8(0) + changed) & 0xff, 0);
  const head = Buffer.from(signed.subarray(0, macAt));
  head.writeUInt16BE(octets, macAt - 2);
  const rdataAt = macAt - 2 - 8 - '\x0bhmac-sha256\0'.length - 2;
  head.writeUInt16BE(head.readUInt16BE(rdataAt) + octets - 32, rdataAt);
  return Buffer.concat([head, mac.subarray(0, octets), signed.subarray(macAt + 32)]);
}

describe('TSIG', () => {
  it('A query with the right key and time is signed, and its reply verifies', () => {
    const { signed, verifier } = signQuery(QUERY, KEY, NOW);
    const verified = verifyTsig(signed, keysOf(KEY), NOW + 200);
    assert.ok(verified.kind === 'signed');
    assert.deepEqual(Buffer.from(verified.message), Buffer.from(QUERY));
    for (let i = 0; i < 3; i++) {
      const reply = encodeHeaderOnly(7, 0, 0);
      const message = verifier.verify(verified.signer.sign(reply, NOW), NOW);
      assert.deepEqual(message, Buffer.from(reply));
    }
  });

  it('A reply whose messages are not in their order does not verify', () => {
    const { signed, verifier } = signQuery(QUERY, KEY, NOW);
    const verified = verifyTsig(signed, keysOf(KEY), NOW);
    assert.ok(verified.kind === 'signed');
    const [first, , third] = [1, 2, 3].map((id) =>
      verified.signer.sign(encodeHeaderOnly(id, 0, 0), NOW),
    );
    assert.ok(verifier.verify(first as Uint8Array, NOW) instanceof Uint8Array);
    assert.equal(verifier.verify(third as Uint8Array, NOW), 'the signature is wrong');
  });

  for (const [what, key, skewSeconds, error, isSigned] of [
    ['an unknown key', keyOf('other.', 'a secret of the secondary'), 0, TsigError.BADKEY, false],
    [
      'another secret',
      keyOf('secondary.', 'a secret of somebody else'),
      0,
      TsigError.BADSIG,
      false,
    ],
    ['a clock that is slow by 301 s', KEY, -301, TsigError.BADTIME, true],
    ['a clock that is fast by 301 s', KEY, 301, TsigError.BADTIME, true],
  ] as const) {
    it(`A query with ${what} gets the error ${error}`, () => {
      const { signed, verifier } = signQuery(QUERY, key, NOW + skewSeconds);
      const verified = verifyTsig(signed, keysOf(KEY), NOW);
      assert.ok(verified.kind === 'wrong');
      const reply = verified.signer.sign(encodeHeaderOnly(7, 0, 9), NOW);
      const expected = isSigned
        ? `the server reports TSIG error ${error}`
        : `the server refuses the key (TSIG error ${error})`;
      assert.equal(verifier.verify(reply, NOW), expected);
      // RFC 8945 §5.2.3: the time of the server.
      if (error === TsigError.BADTIME)
        assert.equal(Buffer.from(reply).readUInt32BE(reply.length - 4), NOW);
    });
  }

  for (const octets of [0, 9, 15, 33]) {
    it(`A query with a signature of ${octets} octets is malformed`, () => {
      assert.equal(verifyTsig(signedWith(octets), keysOf(KEY), NOW).kind, 'malformed');
    });
  }

  it('A query whose signature is shortened to 16 octets gets BADTRUNC, if these are right', () => {
    for (const [octets, changed, error] of [
      [16, 0, TsigError.BADTRUNC],
      [31, 0, TsigError.BADTRUNC],
      [16, 1, TsigError.BADSIG],
    ] as const) {
      const verified = verifyTsig(signedWith(octets, changed), keysOf(KEY), NOW);
      assert.ok(verified.kind === 'wrong');
      const reply = Buffer.from(verified.signer.sign(encodeHeaderOnly(7, 0, 9), NOW));
      assert.equal(reply.readUInt16BE(reply.length - 4), error);
    }
  });

  it('An algorithm other than that of the key counts as an unknown key', () => {
    const { signed, verifier } = signQuery(QUERY, { ...KEY, algorithm: 'hmac-sha512' }, NOW);
    const verified = verifyTsig(signed, keysOf(KEY), NOW);
    assert.ok(verified.kind === 'wrong');
    assert.equal(
      verifier.verify(verified.signer.sign(encodeHeaderOnly(7, 0, 9), NOW), NOW),
      `the server refuses the key (TSIG error ${TsigError.BADKEY})`,
    );
  });

  it('A changed octet of the query makes the signature wrong', () => {
    const { signed } = signQuery(QUERY, KEY, NOW);
    for (let at = 2; at < QUERY.length; at++) {
      const changed = Buffer.from(signed);
      changed.writeUInt8(changed.readUInt8(at) ^ 0x20, at);
      assert.notEqual(verifyTsig(changed, keysOf(KEY), NOW).kind, 'signed', String(at));
    }
  });
});

describe('The texts of TSIG keys', () => {
  const secret = 'IcGnhvp8nduuUjfr0mZADF4UjHWJE3IcJC/StWr+tsY=';
  for (const [from, text] of [
    ['tsig-keygen', `key "a.b" {\n\talgorithm hmac-sha256;\n\tsecret "${secret}";\n};\n`],
    [
      'ddns-confgen',
      `# To activate this key\nkey "a.b" {\n\talgorithm hmac-sha256;\n\tsecret "${secret}";\n};\n\n# Then\nupdate-policy {\n\t  grant a.b zonesub ANY;\n};\n\nnsupdate -k <keyfile>\n`,
    ],
    [
      'keymgr -t',
      `# hmac-sha256:a.b:${secret}\nkey:\n  - id: a.b\n    algorithm: hmac-sha256\n    secret: ${secret}\n`,
    ],
  ] as const) {
    it(`The text that ${from} prints is read`, () => {
      const parsed = parseTsigKeys(text);
      assert.ok(parsed.kind === 'keys', JSON.stringify(parsed));
      assert.deepEqual(
        [...parsed.keys.values()],
        [
          {
            name: ['a', 'b'],
            algorithm: 'hmac-sha256',
            secret: new Uint8Array(Buffer.from(secret, 'base64')),
          },
        ],
      );
    });
  }

  for (const [text, problem] of [
    ['', /no key/],
    [`key a { algorithm hmac-md5; secret "${secret}"; };`, /algorithm hmac-md5; use hmac-sha256/],
    ['key a { algorithm hmac-sha256; secret "short"; };', /fewer than 16 octets/],
    ['key a { algorithm hmac-sha256; };', /without a secret/],
  ] as const) {
    it(`The text ${JSON.stringify(text)} is refused with a reason`, () => {
      const parsed = parseTsigKeys(text);
      assert.ok(parsed.kind === 'mistake');
      assert.match(parsed.problem, problem);
    });
  }
});
