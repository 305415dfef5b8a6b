import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { describe, it } from 'node:test';
import { LiveConfig } from '../../src/app/answering/liveConfig.ts';
import { NearNetworks } from '../../src/app/nearNetworks.ts';
import { readConfig } from '../../src/config/config.ts';
import type { FlagValue } from '../../src/config/settings.ts';
import type { Log } from '../../src/observability/log.ts';
import type { Change } from '../../src/service/change.ts';
import { makeCertificates } from '../support/certificates.ts';
import { FakeClock } from '../support/fakeClock.ts';
import { catalogOf } from '../support/zone.ts';

const KEY = '/skydns/config';

function read(flags: Readonly<Record<string, FlagValue>>) {
  return readConfig({
    flags: { store: 'memory:', nameservers: '127.0.0.1:5399', addr: '127.0.0.1:5398', ...flags },
    env: {},
    readFile: () => ({ problem: 'ENOENT' }),
    stateDirectory: '/nonexistent',
  });
}

function liveConfigOf(flags: Readonly<Record<string, FlagValue>> = {}) {
  const config = read(flags);
  assert.ok(config.kind === 'config');
  const lines: string[] = [];
  const write = (_: unknown, message: string) => void lines.push(message);
  const levels: string[] = [];
  const log: Log = {
    ...{ debug: write, info: write, warn: write, error: write, close: () => {} },
    setLevel: (level) => levels.push(level),
  };
  const liveConfig = new LiveConfig(config.config, KEY, log);
  let changes = 0;
  liveConfig.onChanged(() => changes++);
  return { liveConfig, lines, levels, changes: () => changes };
}

function put(text: string): Change[] {
  const value = Buffer.from(text);
  const entry = { key: KEY, value, createRevision: 1, modRevision: 1, lease: undefined };
  return [{ kind: 'put', entry, previous: undefined }];
}

describe('the live configuration', () => {
  it('A reload keeps the settings if no value has changed, and the forwarder if none of its options has changed', async () => {
    const { liveConfig, changes } = liveConfigOf({ ttl: '60' });
    const { settings, forwarder } = liveConfig;
    liveConfig.reload(read({ ttl: '60', 'min-ttl': '5' }));
    assert.equal(liveConfig.settings, settings);
    assert.equal(liveConfig.forwarder, forwarder);
    assert.equal(liveConfig.reloads.done, 1);
    assert.equal(changes(), 1);
    liveConfig.reload(read({ ttl: '61', 'log-level': 'error' }));
    assert.notEqual(liveConfig.settings, settings);
    assert.equal(liveConfig.settings.ttlSeconds, 61);
    assert.equal(liveConfig.forwarder, forwarder);
    await liveConfig.close();
  });

  it('A zone that an option forwards is reported when it comes, and not with each change of the cuts', async () => {
    const { liveConfig, lines } = liveConfigOf({ forward: 'corp.example=192.0.2.1' });
    const warnings = () => lines.filter((line) => line.startsWith('--forward corp.example.'));
    liveConfig.readChanges(put('{"domain": "corp.example."}'));
    liveConfig.applyStoreConfig();
    assert.equal(warnings().length, 1);
    for (const label of ['a', 'b'])
      liveConfig.setCuts([{ name: [label, 'corp', 'example'], servers: [['ns', 'example']] }]);
    assert.equal(warnings().length, 1);
    await liveConfig.close();
  });

  it('The file of --upstream-ca is read at the start and at a reload, and at no change of the stub zones', async (t) => {
    const certificates = makeCertificates();
    t.after(() => certificates.remove());
    const flags = { 'upstream-ca': certificates.path('ca.pem'), nameservers: 'tls://127.0.0.1' };
    const { liveConfig, lines } = liveConfigOf(flags);
    t.after(() => liveConfig.close());
    const { forwarder } = liveConfig;
    rmSync(certificates.path('ca.pem'));
    for (const label of ['a', 'b'])
      liveConfig.setStubZones([{ name: [label], servers: [{ address: '127.0.0.1', port: 5397 }] }]);
    assert.deepEqual(lines, []);
    const before = liveConfig.forwarder;
    assert.notEqual(before, forwarder);
    liveConfig.reload(read(flags));
    assert.match(lines[0] ?? '', /^--upstream-ca: cannot read .*; keeping the previous CAs$/);
    assert.equal(liveConfig.forwarder, before);
    const other = { ...flags, 'upstream-ca': certificates.path('stranger.pem') };
    liveConfig.reload(read(other));
    assert.notEqual(liveConfig.forwarder, before);
  });

  it('A reload applies the options of Consul’s names, and finds the zone of each place', async () => {
    const { liveConfig } = liveConfigOf({ 'no-rec': true });
    assert.equal(liveConfig.settings.consul, undefined);
    const flags = { 'no-rec': true, domain: ['skydns.local', 'east.skydns.local'] };
    const dc = 'west=production.west.skydns.local';
    liveConfig.reload(read({ ...flags, 'consul-domain': 'consul', 'consul-dc': [dc] }));
    const zone = ['skydns', 'local'];
    const datacenter = { label: 'west', base: ['production', 'west', ...zone], zone };
    assert.deepEqual(liveConfig.settings.consul, {
      domain: ['consul'],
      own: { base: zone, zone },
      datacenters: [datacenter],
    });
    assert.deepEqual(liveConfig.settings.apexes, [zone, ['east', ...zone], ['consul']]);
    const base = 'production.east.skydns.local';
    liveConfig.reload(read({ ...flags, 'consul-domain': 'consul', 'consul-base': base }));
    const { consul } = liveConfig.settings as { readonly consul?: { readonly own: unknown } };
    assert.deepEqual(consul?.own, {
      base: ['production', 'east', ...zone],
      zone: ['east', ...zone],
    });
    liveConfig.reload(read(flags));
    assert.equal(liveConfig.settings.consul, undefined);
    assert.deepEqual(liveConfig.settings.apexes, [zone, ['east', ...zone]]);
    await liveConfig.close();
  });

  it('A domain that the store adds ends Consul’s names in it', async () => {
    const { liveConfig } = liveConfigOf({ 'no-rec': true, 'consul-domain': 'consul' });
    assert.ok(liveConfig.settings.consul !== undefined);
    liveConfig.readChanges(put('{"domain":"consul."}'));
    liveConfig.applyStoreConfig();
    assert.equal(liveConfig.settings.consul, undefined);
    assert.deepEqual(liveConfig.settings.apexes, [['consul']]);
    await liveConfig.close();
  });

  it('A domain that the store adds ends --forward for it, and the log says so', async () => {
    const { liveConfig, lines } = liveConfigOf({ forward: 'corp.example=127.0.0.1:5397' });
    const isForwarded = () =>
      liveConfig.settings.forwarded.domainOf(['a', 'corp', 'example']) !== undefined;
    assert.ok(isForwarded());
    liveConfig.readChanges(put('{"domain":"corp.example."}'));
    liveConfig.applyStoreConfig();
    assert.ok(!isForwarded());
    assert.ok(lines.some((line) => line.startsWith('--forward corp.example. has no effect')));
    await liveConfig.close();
  });

  it('A change of stub zones keeps the settings if it changes no domain, and the other domains’ forwarders', async () => {
    const { liveConfig, changes } = liveConfigOf();
    const zone = (port: number) => ({
      name: ['lab', 'example'],
      servers: [{ address: '127.0.0.1', port }],
    });
    liveConfig.setStubZones([zone(5301)]);
    const { settings, forwarder } = liveConfig;
    liveConfig.setStubZones([zone(5301)]);
    assert.equal(changes(), 1);
    liveConfig.setStubZones([zone(5302)]);
    assert.equal(changes(), 2);
    assert.equal(liveConfig.settings, settings);
    assert.notEqual(liveConfig.forwarder, forwarder);
    liveConfig.setStubZones([]);
    assert.notEqual(liveConfig.settings, settings);
    await liveConfig.close();
  });

  it('A reload applies nameservers and the log level and lists the options that need a restart', async () => {
    const { liveConfig, lines, levels } = liveConfigOf();
    const { forwarder } = liveConfig;
    const next = { nameservers: '127.0.0.1:5397', 'log-level': 'warn', addr: '127.0.0.1:5396' };
    liveConfig.reload(read({ ...next, 'recursion-allow': '10.0.0.0/8' }));
    assert.notEqual(liveConfig.forwarder, forwarder);
    assert.ok(liveConfig.forwarder !== undefined);
    assert.deepEqual(levels, ['warn']);
    assert.deepEqual(liveConfig.config.addr, [{ address: '127.0.0.1', port: 5398 }]);
    assert.ok(lines.includes('changed options take effect after a restart'));
    assert.ok(liveConfig.mayRecurse('10.1.1.1') && !liveConfig.mayRecurse('127.0.0.1'));
    liveConfig.reload(read({ ...next, 'no-rec': true }));
    assert.equal(liveConfig.forwarder, undefined);
    await liveConfig.close();
  });

  it('A reload applies the limits of forwarded answers, staleness and the policy', async () => {
    const { liveConfig } = liveConfigOf();
    const changes = [
      { 'cache-max-ttl': '60' },
      { 'cache-min-ttl': '5' },
      { 'cache-max-negative': '30' },
      { 'serve-stale': '0' },
      { 'forward-policy': 'fastest' },
    ];
    for (const flags of changes) {
      const { forwarder } = liveConfig;
      liveConfig.reload(read(flags));
      assert.notEqual(liveConfig.forwarder, forwarder, JSON.stringify(flags));
      const same = liveConfig.forwarder;
      liveConfig.reload(read(flags));
      assert.equal(liveConfig.forwarder, same);
    }
    await liveConfig.close();
  });

  it('A stored configuration with mistakes changes nothing at the start either', async () => {
    const { liveConfig, lines } = liveConfigOf();
    liveConfig.readChanges(put('{"ttl":"x","min_ttl":9,"domain":"other.example."}'));
    liveConfig.applyStoreConfig();
    assert.equal(liveConfig.settings.minTtlSeconds, 5);
    assert.deepEqual(liveConfig.settings.apexes, [['skydns', 'local']]);
    assert.deepEqual(liveConfig.reloads, { done: 0, failed: 1 });
    assert.ok(lines.includes('the configuration has mistakes; keeping the previous one'));
    liveConfig.reload(read({ 'min-ttl': '4' }));
    assert.deepEqual(liveConfig.settings.apexes, [['skydns', 'local']]);
    await liveConfig.close();
  });

  it('The live configuration uses the stored key once the store is read, and keeps the key’s last valid value', async () => {
    const { liveConfig, changes } = liveConfigOf();
    liveConfig.readChanges(put('{"ttl":7}'));
    liveConfig.applyNewStoreConfig();
    assert.equal(liveConfig.settings.ttlSeconds, 3600);
    liveConfig.applyStoreConfig();
    assert.equal(liveConfig.settings.ttlSeconds, 7);
    assert.deepEqual(liveConfig.reloads, { done: 0, failed: 0 });
    for (const bad of ['{"ttl":"x","min_ttl":9}', '{', '[]']) {
      liveConfig.readChanges(put(bad));
      liveConfig.applyNewStoreConfig();
    }
    assert.equal(liveConfig.settings.ttlSeconds, 7);
    assert.equal(liveConfig.settings.minTtlSeconds, 5);
    assert.deepEqual(liveConfig.reloads, { done: 0, failed: 3 });
    assert.equal(changes(), 1);
    liveConfig.reload(read({ 'min-ttl': '4' }));
    assert.equal(liveConfig.settings.ttlSeconds, 7, 'the mistakes do not count later either');
    assert.equal(liveConfig.settings.minTtlSeconds, 4);
    liveConfig.readChanges([{ kind: 'delete', key: KEY, modRevision: 9, previous: undefined }]);
    liveConfig.applyNewStoreConfig();
    assert.equal(liveConfig.settings.ttlSeconds, 3600);
    await liveConfig.close();
  });
});

describe('what is near', () => {
  const isHere = ({ settings }: LiveConfig, address: string): boolean =>
    settings.near?.isHere(address) ?? false;

  it('A reload changes --near, --near-networks and --region; equal values keep the settings', async (t) => {
    const { liveConfig } = liveConfigOf({ near: 'first', 'near-networks': '10.0.0.0/8' });
    t.after(() => liveConfig.close());
    const { settings } = liveConfig;
    assert.deepEqual([settings.near?.how, isHere(liveConfig, '10.1.2.3')], ['first', true]);
    liveConfig.setHostRanges([{ address: '192.0.2.1', prefixLength: 32 }]);
    liveConfig.reload(read({ near: 'first', 'near-networks': ['10.0.0.0/8'] }));
    assert.equal(liveConfig.settings, settings);
    liveConfig.reload(read({ near: 'only', region: 'East.eu', 'near-networks': '10.0.0.0/8' }));
    assert.deepEqual(liveConfig.settings.near?.region, ['east', 'eu']);
    assert.equal(liveConfig.settings.near?.how, 'only');
    assert.equal(liveConfig.settings.near?.isHere, settings.near?.isHere);
    liveConfig.reload(read({}));
    assert.deepEqual(
      [isHere(liveConfig, '10.1.2.3'), isHere(liveConfig, '192.0.2.1')],
      [false, true],
    );
  });

  it('Without --near-networks the registrar’s address and region count, and this host’s interfaces', async (t) => {
    const registered = { register: true, 'register-ip': '198.51.100.9', 'register-region': 'west' };
    const { liveConfig } = liveConfigOf({ near: 'first', ...registered });
    t.after(() => liveConfig.close());
    liveConfig.setHostRanges([{ address: '172.17.0.1', prefixLength: 16 }]);
    const here = ['198.51.100.9', '172.17.3.4', '198.51.100.8'];
    assert.deepEqual(
      here.map((address) => isHere(liveConfig, address)),
      [true, true, false],
    );
    assert.deepEqual(liveConfig.settings.near?.region, ['west']);
  });

  it('The interfaces are listed while something needs them, when services change, once a second at most', async (t) => {
    const { liveConfig } = liveConfigOf();
    t.after(() => liveConfig.close());
    const clock = new FakeClock();
    let network = '10.5.0.1';
    let lists = 0;
    const list = () => {
      lists++;
      return [{ address: network, prefixLength: 24 }];
    };
    const catalog = catalogOf({});
    const near = new NearNetworks({ liveConfig, catalog, clock, list });
    t.after(() => near.close());
    near.onApplied();
    assert.equal(lists, 0, 'nothing is near');
    catalog.apply([
      {
        ...{ kind: 'put', previous: undefined },
        entry: {
          ...{ key: '/skydns/local/skydns/a', createRevision: 1, modRevision: 1, lease: undefined },
          value: Buffer.from('{"host":"10.5.0.2","near":"only"}'),
        },
      },
    ]);
    near.onApplied();
    assert.deepEqual([lists, isHere(liveConfig, '10.5.0.2')], [1, true]);
    network = '10.6.0.1';
    near.onApplied();
    near.onApplied();
    assert.equal(lists, 1);
    await clock.advance(1_000);
    assert.deepEqual([lists, isHere(liveConfig, '10.6.0.2')], [2, true]);
    await clock.advance(60_000);
    assert.ok(lists <= 3, 'no code polls');
    liveConfig.reload(read({ near: 'first', 'near-networks': '10.7.0.0/16' }));
    const before = lists;
    near.onApplied();
    assert.equal(lists, before, 'the option names the networks');
  });
});
