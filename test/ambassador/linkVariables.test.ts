import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import {
  linkVariables,
  type ReachedPort,
  type Variable,
  variablePrefix,
} from '../../src/ambassador/linkVariables.ts';
import { isUnchanged, linkedServiceOf, RECORDED_LINKS } from '../support/dockerLinks.ts';

const lines = (variables: readonly Variable[]) =>
  variables.map(({ name, value }) => `${name}=${value}`);

const port = (number: number, protocol: 'tcp' | 'udp' = 'tcp', at = number): ReachedPort => {
  return { exposed: { number, protocol }, host: '198.18.73.12', port: at };
};

test('The variables are those of Docker 28, byte for byte and in its order', () => {
  assert.ok(RECORDED_LINKS.length >= 5);
  for (const recorded of RECORDED_LINKS)
    assert.deepEqual(
      lines(linkVariables(linkedServiceOf(recorded), 'docker')),
      recorded.docker28,
      recorded.alias,
    );
});

test('Docker 20.10 gives the same variables except ALIAS_PORT and those of ranges', () => {
  for (const recorded of RECORDED_LINKS) {
    const ours = lines(linkVariables(linkedServiceOf(recorded), 'docker'));
    assert.deepEqual(
      ours.filter(isUnchanged).sort(),
      recorded.docker20.filter(isUnchanged).sort(),
      recorded.alias,
    );
  }
  const [{ docker20 = [], docker28 = [] } = {}] = RECORDED_LINKS;
  assert.equal(docker20[0], 'THE_DB_PORT=udp://172.17.0.2:53');
  assert.equal(docker28[0], 'THE_DB_PORT=tcp://172.17.0.2:5432');
});

test('A service without a known port has only ALIAS_NAME', () => {
  const link = { alias: 'db', name: '/db.skydns.local', ports: [], env: [] };
  assert.deepEqual(lines(linkVariables(link, 'safe')), ['DB_NAME=/db.skydns.local']);
});

test('The variables are named after the container’s own port and lead to where it is published', () => {
  const link = { alias: 'db', name: '/db', ports: [port(5432, 'tcp', 49153)], env: [] };
  assert.deepEqual(lines(linkVariables(link, 'safe')), [
    'DB_PORT=tcp://198.18.73.12:49153',
    'DB_PORT_5432_TCP=tcp://198.18.73.12:49153',
    'DB_PORT_5432_TCP_ADDR=198.18.73.12',
    'DB_PORT_5432_TCP_PORT=49153',
    'DB_PORT_5432_TCP_PROTO=tcp',
    'DB_NAME=/db',
  ]);
});

test('Consecutive ports are a range only where they are published consecutively at one address', () => {
  const ranges = (...ports: readonly ReachedPort[]) =>
    lines(linkVariables({ alias: 'db', name: '/db', ports, env: [] }, 'safe')).filter((line) =>
      /_(START|END)=/.test(line),
    );
  assert.deepEqual(ranges(port(80, 'tcp', 8000), port(81, 'tcp', 8001)), [
    'DB_PORT_80_TCP_START=tcp://198.18.73.12:8000',
    'DB_PORT_80_TCP_PORT_START=8000',
    'DB_PORT_80_TCP_END=tcp://198.18.73.12:8001',
    'DB_PORT_80_TCP_PORT_END=8001',
  ]);
  assert.deepEqual(ranges(port(80, 'tcp', 8000), port(81, 'tcp', 8007)), []);
  assert.deepEqual(ranges(port(80), { ...port(81), host: '198.18.73.13' }), []);
  assert.deepEqual(ranges(port(80), port(81, 'udp')), []);
});

test('An IPv6 address has brackets in URLs and none in ALIAS_PORT_n_TCP_ADDR', () => {
  const ports = [{ ...port(5432), host: 'fd53::12' }];
  const found = lines(linkVariables({ alias: 'db', name: '/db', ports, env: [] }, 'safe'));
  assert.equal(found[0], 'DB_PORT=tcp://[fd53::12]:5432');
  assert.equal(found[2], 'DB_PORT_5432_TCP_ADDR=fd53::12');
});

test('Safe names are identifiers of a shell, whatever the alias and the pairs are', () => {
  const text = fc.string({ minLength: 1, unit: 'binary' });
  fc.assert(
    fc.property(text, text, (alias, name) => {
      const env = [{ name, value: 'x' }];
      const link = { alias, name: '/db', ports: [port(1)], env };
      for (const variable of linkVariables(link, 'safe'))
        assert.match(variable.name, /^[A-Za-z_][A-Za-z0-9_]*$/);
    }),
  );
  assert.equal(variablePrefix('the-db.x', 'safe'), 'THE_DB_X');
  assert.equal(variablePrefix('the-db.x', 'docker'), 'THE_DB.X');
  assert.equal(variablePrefix('1db', 'safe'), '_1DB');
});

test('The variables do not depend on the order of the ports', () => {
  const numbers = fc.uniqueArray(fc.integer({ min: 1, max: 12 }), { maxLength: 10 });
  fc.assert(
    fc.property(numbers, numbers, fc.func(fc.nat()), (tcp, udp, order) => {
      const ports = [...tcp.map((n) => port(n)), ...udp.map((n) => port(n, 'udp'))];
      const shuffled = [...ports].sort(
        (a, b) =>
          order(a.exposed.number, a.exposed.protocol) - order(b.exposed.number, b.exposed.protocol),
      );
      const of = (list: readonly ReachedPort[]) =>
        linkVariables({ alias: 'a', name: '/a', ports: list, env: [] }, 'safe');
      assert.deepEqual(of(shuffled), of(ports));
    }),
  );
});
