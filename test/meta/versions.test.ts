/**
 * Which versions of Node and etcd are tested: the image is built on such a Node, package.json allows none that is older,
 * and the README recommends such an etcd.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { BUILT_ETCDS } from '../support/etcdBuilds.mjs';
import { NOT_OF_RUNTIME, testFiles } from '../support/files.mjs';
import { imageNode, oldestNode, packageName, provideNode } from '../support/nodes.mjs';
import { projectRoot } from './sources.ts';

const textOf = (path: string): string => readFileSync(join(projectRoot, path), 'utf8');
const ci = textOf('.ci/run');

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

test('the README names the versions that are tested', () => {
  const readme = textOf('README.md').replace(/\s+/g, ' ');
  const oldest = oldestNode().replace(/\.0$/, '');
  assert.ok(readme.includes(`Node ${oldest} or newer`));
  assert.ok(readme.includes(`Node ${oldestNode()} and ${imageNode()}`), 'not those of CI');
  assert.ok(readme.includes(`etcd ${BUILT_ETCDS.join(' and ')}`), 'not the etcds that are built');
});

test('every image of etcd that is recommended has a version that is tested', () => {
  for (const path of ['README.md', 'compose.yaml']) {
    const images = [...textOf(path).matchAll(/\/etcd:v([\d.]+)/g)].map(([, version]) => version);
    assert.ok(images.length > 0, path);
    assert.deepEqual(
      images.filter((version) => !BUILT_ETCDS.includes(version ?? '')),
      [],
    );
  }
});

test('this run is on the Node that it was asked for', () => {
  const asked = { image: imageNode, oldest: oldestNode }[process.env.SORADNS_TEST_NODE ?? ''];
  if (asked !== undefined) assert.equal(process.versions.node, asked());
  const [major, minor] = process.versions.node.split('.').map(Number) as [number, number];
  const [oldestMajor, oldestMinor] = oldestNode().split('.').map(Number) as [number, number];
  assert.ok(major > oldestMajor || (major === oldestMajor && minor >= oldestMinor));
});

test('a Node that cannot be had is an error that names the package and the reason', () => {
  const wanted = `${packageName()}@99.0.0`.replaceAll('.', '\\.');
  const cause = '(?:ETARGET|ENOTCACHED)';
  const message = new RegExp(`^Node 99\\.0\\.0 cannot be had: npm install ${wanted}: [^]*${cause}`);
  const before = process.env.npm_config_offline;
  process.env.npm_config_offline = 'true';
  try {
    assert.throws(() => provideNode('99.0.0'), { message });
  } finally {
    if (before === undefined) delete process.env.npm_config_offline;
    else process.env.npm_config_offline = before;
  }
});

test('what does not depend on Node is there, and is little', () => {
  for (const path of NOT_OF_RUNTIME) assert.ok(existsSync(join(projectRoot, path)), path);
  const [all, onlyRuntime] = [testFiles([]), testFiles([], { onlyRuntime: true })];
  assert.ok(onlyRuntime.length > all.length * 0.8, `${onlyRuntime.length} of ${all.length}`);
  for (const path of ['store/etcd-tls', 'store/file', 'dataplane/udpListener', 'e2e/stopping'])
    assert.ok(onlyRuntime.includes(`test/${path}.test.ts`), path);
});
