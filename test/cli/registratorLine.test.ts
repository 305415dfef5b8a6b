import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { registrarContextOf, registratorLine } from '../../src/app/registrar/registrarConfig.ts';
import { REGISTRAR_OPTIONS } from '../../src/config/options/registrarOptions.ts';
import {
  type RegistrarSettingsAndOrigins,
  readRegistrarSettings,
} from '../../src/config/registrarSettings.ts';
import type { FlagValue } from '../../src/config/settings.ts';
import { splitRegistratorLine } from '../../src/registrar/registrator/commandLine.ts';

function parted(line: string, env = {}): string {
  return splitRegistratorLine(line.split(' '), env).join(' ');
}

describe('splitRegistratorLine', () => {
  const uri = 'skydns2://h:2379/skydns.local';
  const table: [string, string][] = [
    [`-internal ${uri}`, `-- -internal ${uri}`],
    [`-ip 10.0.0.1 -ttl 30 ${uri}`, `-- -ip 10.0.0.1 -ttl 30 ${uri}`],
    [`--ip=10.0.0.1 --internal=true ${uri}`, `-- --ip=10.0.0.1 --internal=true ${uri}`],
    [`--docker-host tcp://d:1 -explicit ${uri}`, `--docker-host tcp://d:1 -- -explicit ${uri}`],
    [`-internal --ptr ${uri}`, `--ptr -- -internal ${uri}`],
    [`--store http://s:1 ${uri}`, `--store http://s:1 -- ${uri}`],
    [`${uri} -cleanup`, `-- ${uri} -cleanup`],
    [`--dry-run -- ${uri}`, `--dry-run -- ${uri}`],
    ['--foo', '--foo'],
    ['-tags', '-- -tags'],
  ];
  for (const [line, expected] of table) {
    it(`register separates registrator’s part of the line ${line}`, () =>
      assert.equal(
        parted(`register --compat=registrator ${line}`),
        `register --compat=registrator ${expected}`,
      ));
  }

  it('register separates registrator’s flags from its own only in compat mode, wherever that is set', () => {
    const words = '-internal skydns2://h:1/d';
    assert.equal(
      parted(`register --compat registrator ${words}`),
      `register --compat registrator -- ${words}`,
    );
    const env = { SORADNS_COMPAT: 'registrator' };
    assert.equal(parted(`register ${words}`, env), `register -- ${words}`);
    for (const line of [`register ${words}`, `serve --compat=registrator ${words}`])
      assert.equal(parted(line), line);
    assert.equal(parted(`register --compat=dns ${words}`, env), `register --compat=dns ${words}`);
    for (const compat of [
      '--compat ambassadord,registrator',
      '--compat ambassadord --compat=registrator',
    ])
      assert.equal(parted(`register ${compat} ${words}`), `register ${compat} -- ${words}`);
    const both = { SORADNS_COMPAT: 'connectable, registrator' };
    assert.equal(parted(`register ${words}`, both), `register -- ${words}`);
    const other = `register --compat ambassadord ${words}`;
    assert.equal(parted(other, env), other);
  });
});

function settingsOf(flags: Record<string, FlagValue>): RegistrarSettingsAndOrigins {
  const none = { env: {}, file: undefined, readFile: () => ({ problem: 'none' }) };
  const { mistakes, ...settings } = readRegistrarSettings(
    REGISTRAR_OPTIONS,
    { flags: { compat: 'registrator', ...flags }, ...none },
    [['skydns', 'local']],
  );
  assert.deepEqual(mistakes, []);
  return settings;
}

function lineOf(words: string, flags: Record<string, FlagValue> = {}) {
  const line = registratorLine(settingsOf(flags), words.split(' ').filter(Boolean));
  assert.ok(line.kind === 'line', JSON.stringify(line));
  return line;
}

describe('registratorLine', () => {
  it('Every flag of registrator becomes a setting', () => {
    const flags = '-internal -explicit -ttl 60 -ttl-refresh 20 -resync 90 -useIpFromLabel a.b/c';
    const { settings, store, tags, notes } = lineOf(`${flags} -tags x,y skydns2://e:1/my.example`);
    const { mode, exposedByDefault, leaseTtlSeconds, reconcileSeconds, ipLabel, health } = settings;
    assert.deepEqual(
      { mode, exposedByDefault, leaseTtlSeconds, reconcileSeconds, ipLabel, health },
      {
        ...{ mode: 'internal', exposedByDefault: false, leaseTtlSeconds: 60 },
        ...{ reconcileSeconds: 90, ipLabel: 'a.b/c', health: 'ignore' },
      },
    );
    assert.equal(store, 'etcd://e:1');
    assert.deepEqual([...tags].sort(), ['x', 'y']);
    assert.match(notes.join(), /-ttl-refresh has no effect/);
  });

  it('Registrator’s flags override defaults, and the registrar’s options override them', () => {
    const plain = lineOf('').settings;
    assert.equal(plain.exposedByDefault, true);
    assert.equal(plain.health, 'ignore');
    const { settings } = lineOf('-internal -ip 10.0.0.1 skydns2://e:1/d.example', {
      mode: 'published',
      health: 'auto',
      'exposed-by-default': false,
    });
    const { mode, ip, health, exposedByDefault } = settings;
    assert.deepEqual(
      { mode, ip, health, exposedByDefault },
      { mode: 'published', ip: '10.0.0.1', health: 'auto', exposedByDefault: false },
    );
  });

  it('The URI of registrator’s command line sets the zone', () => {
    const sources = { prefix: '/skydns/', domains: [['skydns', 'local']] };
    const only = registrarContextOf(lineOf('skydns2://e:1/d.example').settings, sources);
    assert.deepEqual([only.zones, only.defaultZone], [[['d', 'example']], ['d', 'example']]);
    const more = registrarContextOf(
      lineOf('skydns2://e:1/d.example', { zone: 'a.example' }).settings,
      sources,
    );
    assert.deepEqual(more.zones, [
      ['a', 'example'],
      ['d', 'example'],
    ]);
    const none = registrarContextOf(lineOf('').settings, sources);
    assert.deepEqual([none.zones, none.defaultZone], [[['skydns', 'local']], ['skydns', 'local']]);
  });
});
