/** The key pairs and signatures that the RFCs print. */
import assert from 'node:assert/strict';
import { createPublicKey, sign, verify } from 'node:crypto';
import test from 'node:test';
import { parseName } from '../../src/dns/name.ts';
import { Class, type Rdata, type Rr, Type } from '../../src/dns/rr.ts';
import { printDs } from '../../src/sign/delegation.ts';
import { parseKeyFile } from '../../src/sign/keyFile.ts';
import { rrsigHead, signedOctets, unsignedSet } from '../../src/sign/rrsig.ts';
import { algorithmOf, type SigningKey, signingKeyOf } from '../../src/sign/signingKey.ts';

function keyOf(publicText: string, privateText: string): SigningKey {
  const read = parseKeyFile(publicText, privateText);
  assert.ok(read.kind === 'read', JSON.stringify(read));
  const made = signingKeyOf(read.file);
  assert.ok(made.kind === 'key', JSON.stringify(made));
  return made.key;
}

function rr(owner: string, type: number, rdata: Rdata): Rr {
  return { owner: parseName(owner) ?? [], type, class: Class.IN, ttlSeconds: 3600, rdata };
}

/** RFC 8080 §6.1. */
const ED25519 = keyOf(
  'example.com. 3600 IN DNSKEY 257 3 15 ( l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4= )',
  'Private-key-format: v1.2\nAlgorithm: 15 (ED25519)\nPrivateKey: ODIyNjAzODQ2MjgwODAxMjI2NDUxOTAyMDQxNDIyNjI=\n',
);

/** RFC 6605 §6.1. */
const P256 = keyOf(
  `example.net. 3600 IN DNSKEY 257 3 13 (
    GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edb
    krSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA== )`,
  'Private-key-format: v1.2\nAlgorithm: 13 (ECDSAP256SHA256)\nPrivateKey: GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=\n',
);

test('The canonical form of an SOA has both names in lower case, and neither is compressed', () => {
  const soa = (mname: string, rname: string): Buffer => {
    const numbers = { serial: 1, refreshSeconds: 2, retrySeconds: 3, expireSeconds: 4 };
    const names = { mname: parseName(mname) ?? [], rname: parseName(rname) ?? [] };
    const rdata: Rdata = { kind: 'soa', ...names, ...numbers, minimumSeconds: 5 };
    return unsignedSet([rr('example.com.', Type.SOA, rdata)], 3600).octets;
  };
  const name = '0765 78616d706c65 03 636f6d 00';
  const head = `${name} 0006 0001 00000e10`;
  const numbers = '00000001 00000002 00000003 00000004 00000005';
  assert.equal(
    soa('NS.example.com.', 'Admin.Example.com.').toString('hex'),
    `${head} 0037 026e73${name} 0561646d696e${name} ${numbers}`.replaceAll(' ', ''),
  );
});

test('A key has the key tag and the DS that RFC 8080 and RFC 6605 print', () => {
  assert.equal(
    printDs(ED25519, 'sha256'),
    'example.com. IN DS 3613 15 2 3AA5AB37EFCE57F737FC1627013FEE07BDF241BD10F3B1964AB55C78E79A304B',
  );
  assert.equal(
    printDs(P256, 'sha256'),
    'example.net. IN DS 55648 13 2 B4C8C1FE2E7477127B27115656AD6256F424625BF5C1E2770CE6D6E37DF61D17',
  );
});

test('An Ed25519 signature has the octets that RFC 8080 prints', () => {
  const exchange = parseName('mail.example.com.') ?? [];
  const mx = rr('example.com.', Type.MX, { kind: 'mx', preference: 10, exchange });
  const set = unsignedSet([mx], 3600);
  const times = { inception: 1438207200, expiration: 1440021600, refresh: 0 };
  const head = rrsigHead(set, ED25519, times);
  assert.equal(
    sign(null, signedOctets(head, set), ED25519.privateKey).toString('base64'),
    'oL9krJun7xfBOIWcGHi7mag5/hdZrKWw15jPGrHpjQeRAvTdszaPD+QLs3fx8A4M3e23mRZ9VrbpMngwcrqNAg==',
  );
});

test('The P-256 signature that RFC 6605 prints covers the octets that are signed here', () => {
  const a = rr('WWW.example.net.', Type.A, { kind: 'address', address: '192.0.2.1' });
  const set = unsignedSet([a], 3600);
  const times = { inception: 1281607479, expiration: 1284026679, refresh: 0 };
  const data = signedOctets(rrsigHead(set, P256, times), set);
  const signature = Buffer.from(
    'qx6wLYqmh+l9oCKTN6qIc+bw6ya+KJ8oMz0YP107epXAyGmt+3SNruPFKG7tZoLBLlUzGGus7ZwmwWep666VCw==',
    'base64',
  );
  const { dsaEncoding } = algorithmOf(13);
  const key = createPublicKey(P256.privateKey as never);
  assert.ok(verify('sha256', data, { key, ...(dsaEncoding && { dsaEncoding }) }, signature));
});
