/** The engine's address, as tables: the meaning of each setting, the precedence, and the message about each mistake. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test from 'node:test';
import {
  type EngineEndpoint,
  endpointLabel,
  resolveEndpoint,
} from '../../../src/registrar/engine/endpoint.ts';

type Files = Readonly<Record<string, string>>;
type Env = Readonly<Record<string, string>>;

const HOME = { HOME: '/h' };
const CONFIG = '/h/.docker';
const LOCAL: EngineEndpoint = { kind: 'unix', path: '/var/run/docker.sock' };

function resolve(option: string | undefined, env: Env = HOME, files: Files = {}): unknown {
  const result = resolveEndpoint(option, { ...HOME, ...env }, (path) => files[path]);
  return result.kind === 'endpoint' ? result.endpoint : result.mistake;
}

function tcp(host: string, port: number, tls?: object): object {
  return { kind: 'tcp', host, port, tls };
}

function contextFiles(name: string, docker: object, pem: Files = {}, config = CONFIG): Files {
  const hash = createHash('sha256').update(name).digest('hex');
  const keys = Object.entries(pem).map(([file, text]) => [
    `${config}/contexts/tls/${hash}/docker/${file}`,
    text,
  ]);
  return {
    [`${config}/contexts/meta/${hash}/meta.json`]: JSON.stringify({
      Name: name,
      Endpoints: { docker },
    }),
    ...Object.fromEntries(keys),
  };
}

const CERTS = { '/c/ca.pem': 'CA', '/c/cert.pem': 'CERT', '/c/key.pem': 'KEY' };
const TLS = { ca: 'CA', client: { cert: 'CERT', key: 'KEY' } };
const VERIFY = { DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: '/c' };

test('An engine address is parsed as the docker command parses it', () => {
  const rows: readonly (readonly [string, object])[] = [
    ['unix:///run/user/1000/docker.sock', { kind: 'unix', path: '/run/user/1000/docker.sock' }],
    ['unix://', LOCAL],
    ['tcp://proxy:2375', tcp('proxy', 2375)],
    ['tcp://proxy', tcp('proxy', 2375)],
    ['tcp://proxy:80/', tcp('proxy', 80)],
    ['TCP://10.0.0.5:2375', tcp('10.0.0.5', 2375)],
    ['http://proxy:2375', tcp('proxy', 2375)],
    ['proxy:2375', tcp('proxy', 2375)],
    ['10.0.0.5', tcp('10.0.0.5', 2375)],
    ['tcp://[::1]:2375', tcp('::1', 2375)],
    ['tcp://[fe80::1]', tcp('fe80::1', 2375)],
  ];
  for (const [text, expected] of rows) {
    assert.deepEqual(resolve(text), expected, text);
    assert.deepEqual(resolve(undefined, { DOCKER_HOST: text }), expected, text);
  }
});

test('The precedence is option, DOCKER_HOST, DOCKER_CONTEXT, current context, local socket', () => {
  const files = {
    [`${CONFIG}/config.json`]: '{"auths":{},"currentContext":"current"}',
    ...contextFiles('current', { Host: 'unix:///current.sock' }),
    ...contextFiles('named', { Host: 'unix:///named.sock' }),
  };
  const env = { DOCKER_HOST: 'unix:///env.sock', DOCKER_CONTEXT: 'named' };
  const { DOCKER_HOST: _, ...withoutHost } = env;
  const path = (name: string): object => ({ kind: 'unix', path: `/${name}.sock` });
  assert.deepEqual(resolve('unix:///option.sock', env, files), path('option'));
  assert.deepEqual(resolve(undefined, env, files), path('env'));
  assert.deepEqual(resolve('', env, files), path('env'));
  assert.deepEqual(resolve(undefined, withoutHost, files), path('named'));
  assert.deepEqual(resolve(undefined, {}, files), path('current'));
  assert.deepEqual(resolve(undefined, { DOCKER_CONTEXT: 'default' }, files), LOCAL);
  assert.deepEqual(resolve(undefined, {}, {}), LOCAL);
  assert.deepEqual(resolve(undefined, {}, { [`${CONFIG}/config.json`]: '{}' }), LOCAL);
});

test('DOCKER_CONFIG names the folder with the contexts', () => {
  const files = {
    '/elsewhere/config.json': '{"currentContext":"c"}',
    ...contextFiles('c', { Host: 'tcp://c:1234' }, {}, '/elsewhere'),
  };
  assert.deepEqual(resolve(undefined, { DOCKER_CONFIG: '/elsewhere' }, files), tcp('c', 1234));
});

test('TLS comes with DOCKER_TLS_VERIFY, https or port 2376, and always verifies', () => {
  const rows: readonly (readonly [string, Env, object])[] = [
    ['tcp://h', VERIFY, tcp('h', 2376, TLS)],
    ['tcp://h:2375', VERIFY, tcp('h', 2375, TLS)],
    ['tcp://h:2375', { DOCKER_CERT_PATH: '/c' }, tcp('h', 2375)],
    ['tcp://h:2376', { DOCKER_CERT_PATH: '/c' }, tcp('h', 2376, TLS)],
    ['https://h', { DOCKER_CERT_PATH: '/c' }, tcp('h', 2376, TLS)],
    ['tcp://h', { DOCKER_TLS_VERIFY: '1' }, tcp('h', 2376, { ca: undefined, client: undefined })],
    ['unix:///s', VERIFY, { kind: 'unix', path: '/s' }],
  ];
  for (const [text, env, expected] of rows) assert.deepEqual(resolve(text, env, CERTS), expected);
  const inHome = { [`${CONFIG}/ca.pem`]: 'CA' };
  assert.deepEqual(
    resolve('tcp://h', { DOCKER_TLS_VERIFY: '1' }, inHome),
    tcp('h', 2376, { ca: 'CA', client: undefined }),
  );
});

test('A context uses its own keys and not those of the environment', () => {
  const pem = { 'ca.pem': 'CA', 'cert.pem': 'CERT', 'key.pem': 'KEY' };
  const env = { ...VERIFY, DOCKER_CONTEXT: 'c' };
  const withKeys = contextFiles('c', { Host: 'tcp://c:2376', SkipTLSVerify: false }, pem);
  assert.deepEqual(resolve(undefined, env, { ...CERTS, ...withKeys }), tcp('c', 2376, TLS));
  const without = contextFiles('c', { Host: 'tcp://c:2375' });
  assert.deepEqual(resolve(undefined, env, { ...CERTS, ...without }), tcp('c', 2375));
});

test('An unusable engine address is reported with its setting and a fix', () => {
  const context = (docker: object): Files => contextFiles('c', docker);
  const c = { DOCKER_CONTEXT: 'c' };
  const rows: readonly (readonly [string | undefined, Env, Files, string, RegExp])[] = [
    ['ssh://root@h', {}, {}, '--docker-host', /ssh:\/\/ is not supported; forward the socket/],
    [undefined, { DOCKER_HOST: 'ssh://h' }, {}, 'DOCKER_HOST', /not supported/],
    ['npipe:////./pipe/docker_engine', {}, {}, '--docker-host', /pipes are not supported/],
    ['fd://', {}, {}, '--docker-host', /fd:\/\/ is not supported; write unix:/],
    ['/var/run/docker.sock', {}, {}, '--docker-host', /write unix:\/\/\/var\/run\/docker\.sock/],
    ['unix://var/run/docker.sock', {}, {}, '--docker-host', /relative; write unix:\/\/\/PATH/],
    ['tcp://', {}, {}, '--docker-host', /is not HOST:PORT/],
    ['tcp://h:0', {}, {}, '--docker-host', /is not HOST:PORT/],
    ['tcp://h:65536', {}, {}, '--docker-host', /is not HOST:PORT/],
    ['tcp://h:port', {}, {}, '--docker-host', /is not HOST:PORT/],
    ['tcp://h:2375/prefix', {}, {}, '--docker-host', /is not HOST:PORT/],
    ['tcp://user:pw@h:2375', {}, {}, '--docker-host', /is not HOST:PORT/],
    ['tcp://::1:2375', {}, {}, '--docker-host', /is not HOST:PORT/],
    ['tcp://h', VERIFY, {}, 'DOCKER_CERT_PATH', /\/c\/ca\.pem cannot be read/],
    ['tcp://h', VERIFY, { '/c/ca.pem': 'CA', '/c/cert.pem': 'C' }, 'DOCKER_CERT_PATH', /key\.pem/],
    ['tcp://h', VERIFY, { '/c/ca.pem': 'CA', '/c/key.pem': 'K' }, 'DOCKER_CERT_PATH', /cert\.pem/],
    [undefined, c, {}, 'DOCKER_CONTEXT', /no context "c" .*docker context ls/],
    [undefined, c, context({}), 'DOCKER_CONTEXT', /names no Docker host/],
    [undefined, c, context({ Host: 'ssh://h' }), 'DOCKER_CONTEXT: context "c"', /not supported/],
    [undefined, c, context({ Host: 'tcp://h', SkipTLSVerify: true }), 'DOCKER_CONTEXT', /verif/],
    [undefined, {}, { [`${CONFIG}/config.json`]: '{' }, `${CONFIG}/config.json`, /is not JSON/],
  ];
  for (const [option, env, files, setting, reason] of rows) {
    const mistake = resolve(option, env, files) as { setting?: string; reason?: string };
    assert.equal(mistake.setting, setting, `${option} ${JSON.stringify(env)}`);
    assert.match(mistake.reason ?? '', reason);
  }
});

test('An engine’s label is its address', () => {
  const label = (text: string, env: Env = {}): string =>
    endpointLabel(resolve(text, env, CERTS) as EngineEndpoint);
  assert.equal(label('unix:///a.sock'), 'unix:///a.sock');
  assert.equal(label('h'), 'tcp://h:2375');
  assert.equal(label('tcp://[::1]', VERIFY), 'tcp://[::1]:2376 (TLS)');
});
