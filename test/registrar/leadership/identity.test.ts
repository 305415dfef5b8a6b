/** Whether a lock belongs to the same engine and the same work as this registrar, by the profiles of both. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type Lock,
  type LockHolder,
  lockCandidates,
  newIdentity,
  ownerId,
  type Profile,
  type Relation,
  relationOf,
  type Self,
} from '../../../src/registrar/leadership/identity.ts';
import {
  holderValue,
  lockKeys,
  parseHolder,
  parseLock,
} from '../../../src/registrar/leadership/lock.ts';

const PROFILE: Profile = {
  name: 'vm',
  rootDir: '/var/lib/docker',
  bootId: 'boot-1',
  endpoint: undefined,
  addresses: ['10.0.0.1'],
  bridgeId: 'bridge-1',
  work: { prefix: '/skydns/', zones: ['skydns.local.'], metadata: 'dns DNS_ dns.' },
};
const SELF: Self = {
  runId: 'me',
  host: 'vm',
  bootKey: 'boot-1 vm unix:///run/docker.sock',
  profile: PROFILE,
  uptimeMs: 3_600_000,
};
const HOLDER: LockHolder = {
  runId: 'other',
  host: 'vm',
  bootKey: SELF.bootKey,
  lease: '7',
  isReleased: false,
  profile: PROFILE,
};
const LOCK: Lock = {
  identity: newIdentity('ENGINE', PROFILE),
  holder: HOLDER,
  createRevision: 1,
  modRevision: 1,
  renewedAgoMs: 5_000,
};

const zones = (...all: string[]) => ({ work: { ...PROFILE.work, zones: all } });
const claiming = (changes: Partial<Profile>): Lock => {
  return { ...LOCK, holder: { ...HOLDER, profile: { ...PROFILE, ...changes } } };
};
/** A lock as a version without host parts wrote it. */
const old = (changes: Partial<LockHolder>): Lock => {
  return { ...LOCK, holder: { ...HOLDER, profile: undefined, ...changes } };
};

const SAME: Relation = { whileAlive: 'same', mayTakeOver: true };
const CLONE: Relation = { whileAlive: 'duplicate', mayTakeOver: false };
const REBOOTED: Relation = { whileAlive: 'duplicate', mayTakeOver: true };
const BEFORE_BOOT = { ...SELF, uptimeMs: 4_000 };
const elsewhere = { bootId: 'boot-2', bridgeId: 'bridge-2' };

describe('another lock of the same engine id', () => {
  const table: readonly (readonly [string, Self, Lock, Relation])[] = [
    ['of the same engine keeps our records', SELF, LOCK, SAME],
    [
      'of an engine whose dockerd was restarted since keeps our records',
      SELF,
      claiming({ bridgeId: 'bridge-2' }),
      SAME,
    ],
    [
      'of an engine with fewer known facts keeps our records',
      SELF,
      claiming({ bootId: undefined, bridgeId: undefined, addresses: [] }),
      SAME,
    ],
    [
      'of the same engine, whose registrar runs on another machine, keeps our records because the bridge is the same',
      SELF,
      claiming({ bootId: 'boot-2', addresses: ['10.0.0.9'] }),
      SAME,
    ],
    [
      'of an engine with another folder on this machine is a clone',
      SELF,
      claiming({ rootDir: '/mnt/docker', bridgeId: 'bridge-2' }),
      CLONE,
    ],
    [
      'of a host with another name is a clone',
      SELF,
      claiming({ name: 'vm2', bridgeId: undefined }),
      CLONE,
    ],
    [
      'of a host that was renamed while dockerd ran keeps our records',
      SELF,
      claiming({ name: 'vm2' }),
      SAME,
    ],
    [
      'of a machine with another boot and address is a clone',
      SELF,
      claiming({ ...elsewhere, addresses: ['10.0.0.2'] }),
      CLONE,
    ],
    [
      'of a machine with another boot and an unknown address is a clone',
      SELF,
      claiming({ ...elsewhere, addresses: [] }),
      CLONE,
    ],
    [
      'with our address, of another boot, that was renewed while we ran, is a clone behind NAT',
      SELF,
      claiming(elsewhere),
      CLONE,
    ],
    [
      'with our address, of another boot, that ended before we booted, is ours before the boot',
      BEFORE_BOOT,
      claiming(elsewhere),
      REBOOTED,
    ],
    [
      'of another boot is not ours when the age of its lease is unknown',
      BEFORE_BOOT,
      { ...claiming(elsewhere), renewedAgoMs: undefined },
      CLONE,
    ],
    [
      'of another boot is not ours when it kept other names',
      BEFORE_BOOT,
      claiming({ ...elsewhere, ...zones('a.example.') }),
      CLONE,
    ],
    [
      'of an engine on one kernel with us, at another address, is a clone in a system container',
      SELF,
      claiming({ bridgeId: 'bridge-2', addresses: ['10.0.0.2'] }),
      CLONE,
    ],
    [
      'of an engine that is reached at another network address is a clone',
      { ...SELF, profile: { ...PROFILE, bootId: undefined, endpoint: 'tcp://a:2375' } },
      claiming({ bootId: undefined, bridgeId: 'bridge-2', endpoint: 'tcp://b:2375' }),
      CLONE,
    ],
    [
      'with other zones is another registrar',
      SELF,
      claiming(zones('a.example.')),
      { whileAlive: 'disjoint', mayTakeOver: false },
    ],
    [
      'with other metadata is another registrar',
      SELF,
      claiming({ work: { ...PROFILE.work, metadata: 'dns INTERNAL_ internal.' } }),
      { whileAlive: 'disjoint', mayTakeOver: false },
    ],
    [
      'with another path prefix is another registrar',
      SELF,
      claiming({ work: { ...PROFILE.work, prefix: '/other/' } }),
      { whileAlive: 'disjoint', mayTakeOver: false },
    ],
    [
      'with our zones and one more overlaps, and is not ours',
      SELF,
      claiming(zones('skydns.local.', 'a.example.')),
      { whileAlive: 'overlapping', mayTakeOver: false },
    ],
    [
      'with a zone below ours overlaps, and is ours when it has ended',
      SELF,
      claiming(zones('east.skydns.local.')),
      { whileAlive: 'overlapping', mayTakeOver: true },
    ],
  ];
  for (const [title, self, lock, expected] of table)
    it(`A lock ${title}`, () => assert.deepEqual(relationOf(self, lock), expected));

  it('Two locks are clones of each other or neither is', () => {
    for (const [title, self, lock] of table) {
      const { profile } = lock.holder;
      if (profile === undefined) continue;
      const back: Lock = { ...lock, holder: { ...HOLDER, profile: self.profile } };
      const living = relationOf({ ...self, profile }, back).whileAlive;
      assert.equal(living, relationOf(self, lock).whileAlive, title);
    }
  });
});

describe('a lock of a version without host parts', () => {
  const bootKey = (bootId: string, host: string, engine: string) => `${bootId} ${host} ${engine}`;
  for (const [title, lock, expected] of [
    ['keeps our records when it was taken on this machine', old({}), SAME],
    [
      'keeps our records even in a container with another host name',
      old({ bootKey: bootKey('boot-1', 'c0ffee', 'unix:///run/docker.sock') }),
      SAME,
    ],
    [
      'is a clone’s when it was taken on another machine',
      old({ bootKey: bootKey('boot-2', 'vm', 'unix:///run/docker.sock') }),
      CLONE,
    ],
    [
      'is a clone’s when it was taken at another socket',
      old({ bootKey: bootKey('boot-1', 'vm', 'unix:///other.sock') }),
      CLONE,
    ],
    ['and without a boot id is identified by the host name', old({ bootKey: undefined }), SAME],
    [
      'and without a boot id is a clone’s on another host',
      old({ bootKey: undefined, host: 'vm2' }),
      CLONE,
    ],
  ] as const)
    it(`A lock without a host part ${title}`, () =>
      assert.deepEqual(relationOf(SELF, lock), expected));
});

describe('an identity', () => {
  it('Two registrars have the same identity exactly when they know the same facts', () => {
    const made = newIdentity('ENGINE', PROFILE);
    assert.deepEqual(newIdentity('ENGINE', { ...PROFILE }), made);
    const others: Partial<Profile>[] = [
      { rootDir: '/mnt/docker' },
      { name: 'vm2' },
      { bootId: 'boot-2' },
      { endpoint: 'tcp://a:2375' },
      { addresses: ['10.0.0.2'] },
      zones('a.example.'),
      { work: { ...PROFILE.work, prefix: '/other/' } },
      { work: { ...PROFILE.work, metadata: 'registrator' } },
    ];
    const ids = [{}, ...others].map((more) =>
      ownerId(newIdentity('ENGINE', { ...PROFILE, ...more })),
    );
    assert.equal(new Set(ids).size, ids.length);
    assert.notDeepEqual(newIdentity('ENGINE', PROFILE, 'salt'), made);
  });

  it('The identity stays the same when dockerd restarts', () => {
    const after = { ...PROFILE, bridgeId: 'bridge-2' };
    assert.deepEqual(newIdentity('ENGINE', after), newIdentity('ENGINE', PROFILE));
  });

  it('The identity is that of the oldest lock whose holder keeps the records, rather than of a released one', () => {
    const made = (hostPart: string, more: Partial<Lock>): Lock => {
      return { ...LOCK, identity: { engineId: 'ENGINE', hostPart }, ...more };
    };
    const released = { ...HOLDER, isReleased: true };
    const locks = [
      made('younger', { createRevision: 9 }),
      made('elder', { createRevision: 3 }),
      made('released', { createRevision: 1, holder: released }),
      { ...claiming({ name: 'vm2', bridgeId: undefined }), createRevision: 0 },
    ];
    assert.equal(lockCandidates(SELF, locks).matching?.identity.hostPart, 'elder');
    assert.equal(lockCandidates(SELF, locks.slice(2)).matching?.identity.hostPart, 'released');
    assert.equal(lockCandidates(SELF, locks.slice(3)).matching, undefined);
  });
});

describe('the value of a lock', () => {
  it('A lock’s value is read as it was written', () => {
    assert.deepEqual(parseHolder(holderValue(HOLDER)), HOLDER);
  });

  it('A lock’s value from an earlier version is read without a profile', () => {
    const text = '{"instance":"i","host":"h","place":"p","lease":"7","released":true}';
    const expected = { ...HOLDER, runId: 'i', host: 'h', bootKey: 'p', isReleased: true };
    assert.deepEqual(parseHolder(Buffer.from(text)), { ...expected, profile: undefined });
  });

  for (const text of [
    ...['', 'x', '[]', 'null', '{}', '{"instance":1,"host":"h","lease":"7"}'],
    `{"instance":"i","host":"h","lease":"7","x":"${'x'.repeat(70_000)}"}`,
  ])
    it(`A value that no registrar wrote is not a lock: ${text.slice(0, 40)}`, () =>
      assert.equal(parseHolder(Buffer.from(text)), undefined));

  it('A lock’s value with an invalid profile has an empty profile', () => {
    const profile = '{"name":1,"rootDir":[],"addresses":"x","work":{"zones":[1,"a."]}}';
    const text = `{"instance":"i","host":"h","lease":"7","profile":${profile}}`;
    const { work, addresses, name } = parseHolder(Buffer.from(text))?.profile ?? {};
    assert.deepEqual([name, addresses, work?.zones], [undefined, [], ['a.']]);
  });

  for (const hostPart of ['0123456789ab', ''])
    it(`The key of a lock with the host part "${hostPart}" gives its identity`, () => {
      const identity = { engineId: 'A:B/C?', hostPart };
      const { holder, challenge } = lockKeys(identity);
      const lease = { id: '7', ttlSeconds: 30, expiresAtMs: 25_000 };
      const value = holderValue(HOLDER);
      const entry = { key: holder, value, createRevision: 1, modRevision: 2, lease };
      const lock = parseLock(entry, 1_000);
      assert.deepEqual([lock?.identity, lock?.renewedAgoMs], [identity, 6_000]);
      assert.equal(parseLock({ ...entry, key: challenge }, 0), undefined);
      assert.equal(parseLock({ ...entry, key: '/registrar/%zz/holder' }, 0), undefined);
    });
});
