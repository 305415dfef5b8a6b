import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseSwitch } from '../../../src/config/options/option.ts';
import { readContainer } from '../../../src/registrar/describe/container.ts';
import { Refusals } from '../../../src/registrar/describe/description.ts';
import {
  findSetting,
  mentionedPorts,
  readMetadata,
  type SettingKey,
} from '../../../src/registrar/describe/metadata.ts';
import { type ContainerSpec, inspection } from '../../support/inspection.ts';

const PREFIX = { envPrefix: 'DNS_', labelPrefix: 'dns.' };

function read(spec: ContainerSpec, prefix = PREFIX) {
  const refusals = new Refusals();
  const settings = readMetadata(readContainer(inspection(spec)), prefix, refusals);
  const value = (key: SettingKey, number?: number, protocol: 'tcp' | 'udp' = 'tcp') =>
    findSetting(settings, key, number === undefined ? undefined : { number, protocol })?.value;
  return { settings, value, refusals: refusals.list() };
}

describe('metadata', () => {
  it('Settings are read from the environment and from labels', () => {
    const { value, refusals } = read({
      env: { DNS_NAME: 'a', PATH: '/bin', MY_DNS_NAME: 'no', DNSNAME: 'no' },
      labels: { 'dns.weight': '5', 'com.docker.compose.service': 'web' },
    });
    assert.equal(value('NAME'), 'a');
    assert.equal(value('WEIGHT'), '5');
    assert.deepEqual(refusals, []);
  });

  it('A setting of a port overrides a generic one, and a label overrides a variable for the same ports', () => {
    const all = {
      env: { DNS_TTL: '1', DNS_53_TTL: '3', DNS_53_UDP_TTL: '5' },
      labels: { 'dns.ttl': '2', 'dns.53.ttl': '4', 'dns.53/udp.ttl': '6' },
    };
    const left = (...gone: string[]) =>
      read({
        env: Object.fromEntries(Object.entries(all.env).filter(([name]) => !gone.includes(name))),
        labels: Object.fromEntries(
          Object.entries(all.labels).filter(([name]) => !gone.includes(name)),
        ),
      });
    assert.equal(left().value('TTL', 53, 'udp'), '6');
    assert.equal(left('dns.53/udp.ttl').value('TTL', 53, 'udp'), '5');
    assert.equal(left('dns.53/udp.ttl', 'DNS_53_UDP_TTL').value('TTL', 53, 'udp'), '4');
    assert.equal(left('dns.53.ttl').value('TTL', 53, 'tcp'), '3');
    assert.equal(left('dns.53.ttl', 'DNS_53_TTL').value('TTL', 53, 'tcp'), '2');
    assert.equal(left('dns.ttl').value('TTL'), '1');
    assert.equal(left().value('TTL', 80), '2');
  });

  for (const [env, labels, number, protocol, value] of [
    [{ DNS_8080_NAME: 'x' }, {}, 8080, 'tcp', 'x'],
    [{ DNS_8080_NAME: 'x' }, {}, 8080, 'udp', 'x'],
    [{ DNS_8080_TCP_NAME: 'x' }, {}, 8080, 'tcp', 'x'],
    [{ DNS_8080_TCP_NAME: 'x' }, {}, 8080, 'udp', undefined],
    [{ DNS_08080_NAME: 'x' }, {}, 8080, 'tcp', 'x'],
    [{}, { 'dns.53/tcp.name': 'x' }, 53, 'tcp', 'x'],
    [{}, { 'dns.53/udp.name': 'x' }, 53, 'tcp', undefined],
    [{ DNS_NAME: '' }, {}, 80, 'tcp', undefined],
    [{ DNS_NAME: 'x' }, { 'dns.name': ' ' }, 80, 'tcp', 'x'],
    [{ DNS_NAME: '  x=y ' }, {}, 80, 'tcp', 'x=y'],
  ] as const) {
    it(`The setting ${JSON.stringify({ ...env, ...labels })} gives port ${number}/${protocol} the name ${value}`, () => {
      assert.equal(read({ env, labels }).value('NAME', number, protocol), value);
    });
  }

  for (const [env, labels, about, reason] of [
    [{ DNS_NAM: 'x' }, {}, 'DNS_NAM', 'is not a setting; did you mean DNS_NAME?'],
    [{ DNS_8080_WIEGHT: '1' }, {}, 'DNS_8080_WIEGHT', /DNS_WEIGHT\?$/],
    [{ DNS_name: 'x' }, {}, 'DNS_name', /DNS_NAME\?$/],
    [{}, { 'dns.prioriti': '1' }, 'dns.prioriti', 'is not a setting; did you mean dns.priority?'],
    [{}, { 'dns.Name': 'x' }, 'dns.Name', /dns\.name\?$/],
    [{ DNS_0_NAME: 'x' }, {}, 'DNS_0_NAME', 'is for a port outside 1 to 65535'],
    [{ DNS_65536_NAME: 'x' }, {}, 'DNS_65536_NAME', 'is for a port outside 1 to 65535'],
    [{ DNS_80_HEALTH: 'auto' }, {}, 'DNS_80_HEALTH', /whole container/],
    [{ DNS_80_PORT: '1' }, {}, 'DNS_80_PORT', /whole container/],
  ] as const) {
    it(`The key in ${JSON.stringify({ ...env, ...labels })} is refused`, () => {
      const { settings, refusals } = read({ env, labels });
      assert.equal(settings.size, 0);
      assert.equal(refusals.length, 1);
      assert.equal(refusals[0]?.about, about);
      if (typeof reason === 'string') assert.equal(refusals[0]?.reason, reason);
      else assert.match(refusals[0]?.reason ?? '', reason);
    });
  }

  for (const [env, labels, about] of [
    [{ DNS_SERVER: '192.0.2.1' }, {}, 'DNS_SERVER'],
    [{ DNS_SERVICE_NAME: 'x' }, {}, 'DNS_SERVICE_NAME'],
    [{ DNS_8080_QQQQQQ: 'x' }, {}, 'DNS_8080_QQQQQQ'],
    [{ DNS_: 'x' }, {}, 'DNS_'],
    [{ DNS___proto__: 'x' }, {}, 'DNS___proto__'],
    [{}, { 'dns.\x1b[2J': 'x' }, 'dns.\\027[2J'],
  ] as const) {
    it(`The unknown key in ${JSON.stringify({ ...env, ...labels })} is refused only on a container with settings`, () => {
      assert.deepEqual(read({ env, labels }).refusals, []);
      const { refusals } = read({ env: { ...env, DNS_NAME: 'x' }, labels });
      assert.deepEqual(refusals, [{ about, reason: 'is not a setting' }]);
    });
  }

  it('The operator chooses the prefixes of settings', () => {
    const prefix = { envPrefix: 'SORA_', labelPrefix: 'org.example/' };
    const { value, refusals } = read(
      { env: { SORA_NAME: 'a', DNS_FOO: 'x' }, labels: { 'org.example/80.ttl': '7' } },
      prefix,
    );
    assert.equal(value('NAME'), 'a');
    assert.equal(value('TTL', 80), '7');
    assert.deepEqual(refusals, []);
  });

  it('More settings than the limit are refused as a whole', () => {
    const env = Array.from({ length: 20_000 }, (_, i) => `DNS_${(i % 65_535) + 1}_NAME=a${i}`);
    const { settings, refusals } = read({ env });
    assert.equal(settings.size, 0);
    assert.deepEqual(refusals, [
      { about: 'DNS_*', reason: 'matches more than 1024 settings: remove some' },
    ]);
  });

  it('The list of refused settings is bounded', () => {
    const env = Array.from({ length: 500 }, (_, i) => `DNS_X${i}=a`);
    const { refusals } = read({ env: [...env, 'DNS_NAME=a'] });
    assert.equal(refusals.length, 17);
    assert.deepEqual(refusals.at(-1), { about: '...', reason: 'and 484 more' });
  });

  it('The ports with their own settings are listed', () => {
    const { settings } = read({
      env: { DNS_8080_TTL: '1', DNS_53_UDP_TTL: '1', DNS_53_TTL: '1', DNS_NAME: 'a' },
    });
    assert.deepEqual(mentionedPorts(settings), [
      { number: 53, protocol: undefined },
      { number: 53, protocol: 'udp' },
      { number: 8080, protocol: undefined },
    ]);
  });

  it('parseSwitch reads words for true and for false and refuses every other word', () => {
    for (const yes of ['true', 'TRUE', '1', 'yes', 'on']) assert.equal(parseSwitch(yes), true);
    for (const no of ['false', 'False', '0', 'no', 'off']) assert.equal(parseSwitch(no), false);
    for (const other of ['', 'maybe', '2', 'truely']) assert.equal(parseSwitch(other), undefined);
  });
});
