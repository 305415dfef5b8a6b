/**
 * The Node versions that the tests must pass on: the oldest that package.json allows, and the image's. They are read
 * from package.json and the Dockerfile, and installed from npm's registry once on a machine.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cached, fillCached } from './cache.mjs';

const TIMEOUT_MS = 300_000;

const read = (path) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

/** The first version of package.json's `engines`, which is `>=MAJOR.MINOR`. */
export function oldestNode() {
  const { node } = JSON.parse(read('package.json')).engines;
  const [, version] = /^>=(\d+\.\d+)$/.exec(node) ?? [];
  if (version === undefined) throw new Error(`package.json: engines.node is ${node}, not >=X.Y`);
  return `${version}.0`;
}

/** The Node version of the Dockerfile's base images. */
export function imageNode() {
  const bases = [...read('Dockerfile').matchAll(/^FROM +(\S+)/gm)].map(([, image]) => image);
  const versions = new Set(bases.map(versionOf));
  if (versions.size !== 1)
    throw new Error(`Dockerfile: stages have different Node versions: ${[...versions].join(', ')}`);
  return [...versions][0];
}

function versionOf(image) {
  const [, version] = /^node:(\d+\.\d+\.\d+)-/.exec(image) ?? [];
  if (version === undefined) throw new Error(`Dockerfile: FROM ${image} names no exact Node`);
  return version;
}

/** Returns the path of that Node and installs it if it is missing. Throws with the reason if that fails. */
export function provideNode(version) {
  if (process.versions.node === version) return process.execPath;
  const name = `node-${version}`;
  const command = join(cached(name), 'node_modules', packageName(), 'bin/node');
  if (!runs(command, version)) fillCached(name, (folder) => install(folder, version));
  if (!runs(command, version)) throw new Error(`${command} is not Node ${version}; remove it`);
  return command;
}

/** The package in npm's registry with Node for this machine. */
export function packageName() {
  return `node-${process.platform}-${process.arch}`;
}

function install(folder, version) {
  const wanted = `${packageName()}@${version}`;
  console.error(`installing ${wanted}, once on this machine`);
  writeFileSync(join(folder, 'package.json'), '{"private":true}\n');
  const args = [
    ...['install', '--no-audit', '--no-fund', '--ignore-scripts', '--save-exact'],
    // This shows errors even if `npm run --silent` started this process.
    ...['--loglevel', 'error', wanted],
  ];
  const options = { cwd: folder, encoding: 'utf8', timeout: TIMEOUT_MS };
  const { status, stderr, error } = spawnSync('npm', args, options);
  if (status === 0) return;
  throw new Error(`Node ${version} cannot be installed: npm install ${wanted}: ${stderr || error}`);
}

function runs(command, version) {
  const { stdout } = spawnSync(command, ['--version'], { encoding: 'utf8' });
  return stdout?.trim() === `v${version}`;
}
