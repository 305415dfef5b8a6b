/**
 * The tested versions of Node and etcd: the image is built on a tested Node, package.json allows no Node older than the
 * tested ones, and the README recommends a tested etcd.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { BUILT_ETCDS } from '../support/etcdBuilds.mjs';
import { testFiles } from '../support/files.mjs';
import { imageNode, oldestNode, packageName, provideNode } from '../support/nodes.mjs';
import { DEPENDENT_ON_NODE, dependsOnNode, INDEPENDENT_OF_NODE } from '../support/runtime.mjs';
import { projectRoot, sourceFiles } from './sources.ts';

const textOf = (path: string): string => readFileSync(join(projectRoot, path), 'utf8');
const ci = textOf('.ci/run');

/** At least one test file for each part of Node that soradns uses. */
const OF_EACH_PART = [
  ...['store/etcd-tls', 'store/etcd-cuts', 'store/file', 'store/file-kill', 'timing/clock'],
  ...['dataplane/table', 'dataplane/listeners/udpListener', 'dataplane/listeners/handover'],
  ...[
    'server/tcp',
    'server/http/keys',
    'server/http/limits',
    'forward/exchange',
    'observability/logSink',
  ],
  ...[
    'registrar/engine/dockerode',
    'registrar/realDocker',
    'registrar/engine/readOnlyProxy',
    'cli/process',
  ],
  ...['e2e/registrar', 'e2e/replacedSocket', 'e2e/stopping', 'e2e/takeover', 'e2e/kill'],
];

const NATIVE = new Set(['koffi', 'lmdb']);

test('CI runs the tests on the Node of the image, which every line of the Dockerfile names', () => {
  const dockerfile = textOf('Dockerfile');
  const stages = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, image]) => image);
  assert.ok(stages.length >= 2);
  const image = `node:${imageNode()}-trixie-slim`;
  assert.deepEqual([...new Set(stages)], [image]);
  assert.ok(dockerfile.includes(`base.name="docker.io/library/${image}"`), 'the label differs');
  assert.match(imageNode(), /^\d+\.\d+\.\d+$/);
  assert.match(ci, /^step .* npm test -- --node image --runtime$/m);
});

test('CI runs all tests on the oldest Node that package.json allows', () => {
  const { engines } = JSON.parse(textOf('package.json'));
  assert.equal(`${engines.node}.0`, `>=${oldestNode()}`);
  assert.match(ci, /npm test -- --node oldest(?: |$|;)/m);
  assert.doesNotMatch(ci, /--node oldest.*--runtime/);
});

test('The README and CONTRIBUTING.md name the versions of Node and etcd that are tested', () => {
  const readme = textOf('README.md').replace(/\s+/g, ' ');
  const contributing = textOf('CONTRIBUTING.md').replace(/\s+/g, ' ');
  const oldest = oldestNode().replace(/\.0$/, '');
  assert.ok(readme.includes(`Node ${oldest} or newer`));
  assert.ok(contributing.includes(`Node ${oldestNode()} and ${imageNode()}`), 'not those of CI');
  assert.ok(
    contributing.includes(`etcd ${BUILT_ETCDS.join(' and ')}`),
    'not the etcds that are built',
  );
});

test('Every image of etcd that the pages recommend has a version that is tested', () => {
  for (const path of ['README.md', 'docs/two-hosts.md', 'docs/migrating.md', 'compose.yaml']) {
    const images = [...textOf(path).matchAll(/\/etcd:v([\d.]+)/g)].map(([, version]) => version);
    assert.ok(images.length > 0, path);
    assert.deepEqual(
      images.filter((version) => !BUILT_ETCDS.includes(version ?? '')),
      [],
    );
  }
});

test('The tests run on the Node that the command line asks for', () => {
  const asked = { image: imageNode, oldest: oldestNode }[process.env.SORADNS_TEST_NODE ?? ''];
  if (asked !== undefined) assert.equal(process.versions.node, asked());
  const [major, minor] = process.versions.node.split('.').map(Number) as [number, number];
  const [oldestMajor, oldestMinor] = oldestNode().split('.').map(Number) as [number, number];
  assert.ok(major > oldestMajor || (major === oldestMajor && minor >= oldestMinor));
});

test('A Node that npm cannot install causes an error that names the package and the reason', () => {
  const wanted = `${packageName()}@99.0.0`.replaceAll('.', '\\.');
  const cause = '(?:ETARGET|ENOTCACHED)';
  const message = new RegExp(
    `^Node 99\\.0\\.0 cannot be installed: npm install ${wanted}: [^]*${cause}`,
  );
  const before = process.env.npm_config_offline;
  process.env.npm_config_offline = 'true';
  try {
    assert.throws(() => provideNode('99.0.0'), { message });
  } finally {
    if (before === undefined) delete process.env.npm_config_offline;
    else process.env.npm_config_offline = before;
  }
});

test('Every file in the lists of what depends on Node exists', () => {
  for (const path of [...INDEPENDENT_OF_NODE, ...DEPENDENT_ON_NODE])
    assert.ok(existsSync(join(projectRoot, path)), path);
});

test('A second Node runs the tests that depend on Node, and not those that only compute', () => {
  const [all, second] = [testFiles([]), testFiles([], { onlyRuntime: true })];
  assert.deepEqual(second, all.filter(dependsOnNode));
  for (const path of OF_EACH_PART) assert.ok(second.includes(`test/${path}.test.ts`), path);
  for (const path of [
    'zone/answer',
    'dns/encode',
    'registrar/describe/describe',
    'registrar/events',
  ])
    assert.ok(!second.includes(`test/${path}.test.ts`), path);
});

test('A test that imports sockets, threads, files or a native package counts as dependent on Node', () => {
  const own = /^node:(?:child_process|dgram|fs|http|https|net|stream|tls|worker_threads|zlib)\b/;
  const users = sourceFiles('test').filter(({ path, imports }) => {
    const isUser = imports.some(
      ({ specifier, typeOnly }) => !typeOnly && (own.test(specifier) || NATIVE.has(specifier)),
    );
    return (
      isUser &&
      path.endsWith('.test.ts') &&
      !INDEPENDENT_OF_NODE.some((left) => path.startsWith(left))
    );
  });
  assert.ok(users.length > 50);
  assert.deepEqual(
    users.filter(({ path }) => !dependsOnNode(path)).map(({ path }) => path),
    [],
  );
});
