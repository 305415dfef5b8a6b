/** Signatures that several clients ask for at once. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import test from 'node:test';
import { Class, Type } from '../../src/dns/rr.ts';
import { Signer, type SigningJob } from '../../src/server/signer.ts';
import { Algorithm } from '../../src/sign/keyFile.ts';
import { unsignedSet } from '../../src/sign/rrsig.ts';
import type { SigningKey } from '../../src/sign/signingKey.ts';
import { name } from '../support/zone.ts';

const P256 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;

function job(label: string, privateKey: KeyObject = P256): SigningJob {
  const key: SigningKey = {
    zone: name('skydns.local.'),
    ...{ flags: 256, algorithm: Algorithm.ECDSAP256SHA256, tag: 1, dnskey: Uint8Array.of(1) },
    ...{ privateKey, dates: {}, isUndated: true },
  };
  const rr = {
    owner: name(`${label}.skydns.local.`),
    ...{ type: Type.A, class: Class.IN, ttlSeconds: 60 },
    rdata: { kind: 'address', address: '10.0.0.1' },
  } as const;
  return { set: unsignedSet([rr], 60), keys: [key], isOfInventedName: false };
}

/** May make four signatures at once, and then no other: its clock stands still. */
function signerOfFour(): Signer {
  return new Signer({
    validitySeconds: () => 86_400,
    signRate: () => 16,
    unixSeconds: () => 1_796_000_000,
    monotonicMs: () => 0,
  });
}

const TEN = Array.from({ length: 10 });

test('Clients that ask at once for one set get one signature, and none is refused', async () => {
  const signer = signerOfFour();
  const all = await Promise.all(TEN.map(() => signer.sign([job('a')], false)));
  assert.ok(all.every((each) => each?.[0]?.data === all[0]?.[0]?.data && each !== undefined));
  assert.deepEqual(signer.counts, { made: 1, kept: 9, refused: 0, failed: 0 });
});

test('Clients over TCP that wait for one set wait for one signature', async () => {
  const signer = signerOfFour();
  await signer.sign(
    ['a', 'b', 'c', 'd'].map((label) => job(label)),
    false,
  );
  const waiting = TEN.map(() => signer.sign([job('e')], true));
  assert.equal(signer.sign([job('e')], false), undefined, 'a client over UDP does not wait');
  // The signer's own timer does not keep the process running.
  const timer = setInterval(() => {}, 10);
  const all = await Promise.all(waiting).finally(() => clearInterval(timer));
  assert.ok(all.every((each) => each?.[0]?.data === all[0]?.[0]?.data && each !== undefined));
  assert.deepEqual(signer.counts, { made: 5, kept: 9, refused: 1, failed: 0 });
});

test('A signature that cannot be made counts once as failed, for all that wait for it', async () => {
  const signer = signerOfFour();
  // A public key fails before the thread pool. A failure in the pool would end the process on Node 20.19 where it has
  // worker threads; the keys that are read have made a signature already, so that none fails there.
  const wrong = generateKeyPairSync('ed25519').publicKey;
  const all = TEN.map(async () => signer.sign([job('a', wrong)], false));
  for (const each of all) await assert.rejects(each);
  assert.equal(signer.counts.failed, 1);
});
