import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { readConfig } from '../../src/config/config.ts';
import { domainsOfStoreConfig, domainsOfVariables } from '../../src/config/servedDomains.ts';
import { withStoreConfig } from '../../src/config/storeConfig.ts';

const readFile = () => ({ problem: 'ENOENT' });

function serverConfig(env: Readonly<Record<string, string>>) {
  return readConfig({ flags: { store: 'memory:' }, env, readFile, stateDirectory: '/state' });
}

const domainText = fc.constantFrom(
  'a.example',
  'B.Example.',
  'a.example,b.example',
  '.',
  '',
  '*',
  'a..b',
  ' ',
);

describe('the served domains', () => {
  it('Variables give the same domains as to the configuration of serve', () => {
    const variables = fc.dictionary(fc.constantFrom('SORADNS_DOMAIN', 'SKYDNS_DOMAIN'), domainText);
    fc.assert(
      fc.property(variables, (env) => {
        const given = domainsOfVariables({ env, readFile });
        const read = serverConfig(env);
        if (read.kind === 'mistakes') return assert.equal(given.kind, 'mistake');
        const isDefault = read.config.origins.domains === 'default';
        assert.deepEqual(
          given,
          isDefault ? { kind: 'none' } : { kind: 'domains', domains: read.config.domains },
        );
      }),
    );
  });

  it('The key in the store gives the same domains as to the configuration of serve', () => {
    const read = serverConfig({});
    assert.ok(read.kind === 'config');
    const { config } = read;
    const raw = fc.oneof(domainText, fc.array(domainText, { maxLength: 3 }), fc.jsonValue());
    const members = fc.dictionary(fc.constantFrom('domain', 'Domain', 'ttl', 'dns_addr'), raw);
    const text = fc.oneof(
      members.map((value) => JSON.stringify(value)),
      fc.constantFrom('', '[]', 'null', '{'),
    );
    fc.assert(
      fc.property(text, (json) => {
        const { domains } = withStoreConfig(config, json).config;
        const expected = domains === config.domains ? undefined : domains;
        assert.deepEqual(domainsOfStoreConfig(json), expected);
      }),
    );
    assert.deepEqual(domainsOfStoreConfig('{"domain":"a.example"}'), [['a', 'example']]);
  });
});
