/** DNS cookies: the vectors of RFC 9018 and of SipHash's paper, and which cookies are accepted for how long. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CookieState, ServerCookies } from '../../src/dataplane/reply/serverCookies.ts';
import { SipHash } from '../../src/dataplane/reply/sipHash.ts';
import { Sockaddr, writeSockaddr } from '../../src/dataplane/sockets/layout.ts';
import { unhex } from '../support/packets.ts';

const SECRET = 'e5e973e5a6b2a43f48e7dc849e37bfcf';
const CLIENT = '2464c4abcf10c957';
const ADDRESS = '198.51.100.100';
const COOKIE = `${CLIENT}010000005cf79f111f8130c3eee29480`;
const MADE_AT = 1_559_731_985;

function cookiesOf(unixSeconds: number, address: string, ...secrets: readonly string[]) {
  const cookies = new ServerCookies(secrets.map((secret) => unhex(secret)));
  cookies.unixSeconds = unixSeconds;
  const room = new ArrayBuffer(Sockaddr.ROOM);
  writeSockaddr(new DataView(room), { address, port: 5353 }, () => 0);
  cookies.setClient(new Int32Array(room), 0);
  const read = (cookie: string) => {
    const data = unhex(`ff${cookie}ff`);
    return cookies.read(data, 1, data.length - 2);
  };
  const written = () => {
    const octets = new Uint8Array(26);
    cookies.write(octets, 1);
    return Buffer.from(octets.subarray(1, 25)).toString('hex');
  };
  return { cookies, read, written };
}

it('SipHash gives the digests of the reference implementation', () => {
  const hash = new SipHash(Uint8Array.from({ length: 16 }, (_, i) => i));
  const message = new Int32Array(Uint8Array.from({ length: 64 }, (_, i) => i).buffer);
  for (const [octets, expected] of [
    [0, '310e0edd47db6f72'],
    [4, 'b7877127e09427cf'],
    [8, '6224939a79f5f593'],
    [12, 'fbe50e86bc8f1e75'],
    [16, 'db9bc2577fcc2a3f'],
  ] as const) {
    hash.hash(message, octets / 4);
    const digest = Buffer.from(Int32Array.of(hash.low, hash.high).buffer).toString('hex');
    assert.equal(digest, expected, `${octets} octets`);
  }
});

describe('The examples of RFC 9018, appendix A', () => {
  for (const [what, at, address, secrets, asked, state, expected] of [
    ['A new client', MADE_AT, ADDRESS, [SECRET], CLIENT, CookieState.NEW, COOKIE],
    [
      'The same client after 40 minutes',
      1_559_734_385,
      ADDRESS,
      [SECRET],
      COOKIE,
      CookieState.VALID,
      `${CLIENT}010000005cf7a871d4a564a1442aca77`,
    ],
    [
      'A client whose cookie has other reserved octets',
      1_559_727_985 + 60,
      '203.0.113.203',
      [SECRET],
      'fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5',
      CookieState.VALID,
      'fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5',
    ],
    [
      'The same client after two hours',
      1_559_734_700,
      '203.0.113.203',
      [SECRET],
      'fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5',
      CookieState.INVALID,
      'fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e',
    ],
    [
      'A client over IPv6 whose cookie is of the last secret',
      1_559_741_961,
      '2001:db8:220:1:59de:d0f4:8769:82b8',
      ['445536bcd2513298075a5d379663c962', 'dd3bdf9344b678b185a6f5cb60fca715'],
      '22681ab97d52c298010000005cf7c57926556bd0934c72f8',
      CookieState.VALID,
      undefined,
    ],
  ] as const) {
    it(`${what} is judged and answered as in the RFC`, () => {
      const { read, written } = cookiesOf(at, address, ...secrets);
      assert.equal(read(asked), state);
      if (expected !== undefined) assert.equal(written(), expected);
    });
  }
});

it('A cookie is valid for an hour and five minutes ahead, and is replaced after half an hour', () => {
  for (const [age, state, isKept] of [
    [-301, CookieState.INVALID, false],
    [-300, CookieState.VALID, true],
    [1800, CookieState.VALID, true],
    [1801, CookieState.VALID, false],
    [3600, CookieState.VALID, false],
    [3601, CookieState.INVALID, false],
  ] as const) {
    const { read, written } = cookiesOf(MADE_AT + age, ADDRESS, SECRET);
    assert.equal(read(COOKIE), state, `${age} seconds`);
    assert.equal(written() === COOKIE, isKept, `${age} seconds`);
    assert.equal(written().slice(0, 24), `${CLIENT}01000000`);
  }
});

it('A cookie of another address, client, version, secret or hash is not valid', () => {
  const judge = (cookie: string, address = ADDRESS, secret = SECRET) => {
    const { cookies, read } = cookiesOf(MADE_AT, ADDRESS, secret);
    read(COOKIE);
    const room = new ArrayBuffer(Sockaddr.ROOM);
    writeSockaddr(new DataView(room), { address, port: 1 }, () => 0);
    cookies.setClient(new Int32Array(room), 0);
    return read(cookie);
  };
  assert.equal(judge(COOKIE), CookieState.VALID);
  assert.equal(judge(COOKIE, `::ffff:${ADDRESS}`), CookieState.VALID);
  assert.equal(judge(COOKIE, '198.51.100.101'), CookieState.INVALID);
  assert.equal(judge(COOKIE, '2001:db8::1'), CookieState.INVALID);
  assert.equal(judge(COOKIE, ADDRESS, '00'.repeat(16)), CookieState.INVALID);
  for (let octet = 0; octet < 24; octet++) {
    const wrong = Buffer.from(unhex(COOKIE));
    wrong[octet] = (wrong[octet] as number) ^ 1;
    assert.equal(judge(wrong.toString('hex')), CookieState.INVALID, `octet ${octet}`);
  }
});

it('A cookie of an impossible length is malformed, and one of another server’s length is not valid', () => {
  const { read } = cookiesOf(MADE_AT, ADDRESS, SECRET);
  for (let length = 0; length <= 64; length++) {
    const isPossible = length === 8 || (length >= 16 && length <= 40);
    const expected = length === 8 ? CookieState.NEW : CookieState.INVALID;
    const state = read('01'.repeat(length));
    assert.equal(state, isPossible ? expected : CookieState.MALFORMED, `${length} octets`);
  }
});
