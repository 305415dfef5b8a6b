/** The tree has no paths and hosts of one machine, no loose versions, and no test that keeps others from running. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { projectRoot } from './sources.ts';

const IGNORED = new Set(['.git', 'node_modules', 'dist', '.soradns']);

const MACHINE_PATH = /(?<![\w.])\/(?:work|home|Users)\/\w/;
const REGISTRY = /registry\.(?:npmjs|yarnpkg|npmmirror)\b|npm\.pkg\.github|\/artifactory\//;

const files = treeFiles('').map((path) => ({
  path,
  text: readFileSync(join(projectRoot, path), 'utf8'),
}));

function treeFiles(folder: string): string[] {
  return readdirSync(join(projectRoot, folder), { withFileTypes: true }).flatMap((entry) => {
    if (IGNORED.has(entry.name) || /\.(log|tsbuildinfo)$/.test(entry.name)) return [];
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) return treeFiles(path);
    return entry.isFile() ? [path] : [];
  });
}

/** The files (`path:line`) whose text matches. */
function linesMatching(pattern: RegExp, among: (path: string) => boolean = () => true): string[] {
  return files
    .filter(({ path }) => among(path))
    .flatMap(({ path, text }) =>
      text
        .split('\n')
        .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}`] : [])),
    );
}

test('No file names a path of one machine', () => {
  assert.deepEqual(linesMatching(MACHINE_PATH), []);
  assert.match(['', 'work', 'main'].join('/'), MACHINE_PATH);
});

test('No file names a package registry', () => {
  assert.deepEqual(linesMatching(REGISTRY), []);
  assert.match(['registry', 'npmjs', 'org'].join('.'), REGISTRY);
});

test('The lockfile names no registry, and has a checksum for every package', () => {
  const lock = JSON.parse(readFileSync(join(projectRoot, 'package-lock.json'), 'utf8'));
  const packages = Object.entries<{ resolved?: string; integrity?: string }>(lock.packages);
  const from = packages.filter(([, entry]) => /^[a-z+]+:/.test(entry.resolved ?? ''));
  const unproven = packages.filter(([path, entry]) => path !== '' && entry.integrity === undefined);
  assert.deepEqual(
    [...from, ...unproven].map(([path]) => path),
    [],
  );
  assert.ok(packages.length > 20);
});

test('package.json pins every version', () => {
  const manifest = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8'));
  const versions = Object.entries<string>({
    ...manifest.dependencies,
    ...manifest.devDependencies,
    ...manifest.optionalDependencies,
  });
  assert.deepEqual(
    versions.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version)),
    [],
  );
  assert.ok(versions.length > 5);
});

test('No test uses .only', () => {
  const alone = /\b(?:test|it|describe|suite)\.only\(|\bonly: true\b/;
  assert.deepEqual(
    linesMatching(alone, (path) => path.endsWith('.test.ts')),
    [],
  );
});
