/**
 * Stand-ins for the images that Dockerfile and compose.yaml name, under those names, where no registry can be reached:
 * Node from npm's registry and this machine's npm on busybox, and this machine's etcd. npm in them works offline, out of
 * a cache that this machine's npm has filled, so a build needs no network.
 */
import { execFile, execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { addBusybox, addProgram, commandPath, dockerCli, importFolder } from './dockerImages.ts';
import type { EngineCli } from './engineCommands.ts';
import { provideNode } from './nodes.mjs';
import { MEMORY } from './tempDir.ts';

/** Where Dockerfile and compose.yaml are. */
export const PROJECT = fileURLToPath(new URL('../..', import.meta.url));

const BUILD_TIMEOUT_MS = 240_000;

/** What npm ci reads. */
const MANIFESTS = ['package.json', 'package-lock.json', '.npmrc'];

/** Builds the Dockerfile on stand-ins for what it names, as `soradns`. */
export async function buildImage(host: string): Promise<void> {
  await standInForBases(host);
  const args = ['--host', host, 'build', '--tag', 'soradns', PROJECT];
  // Without BuildKit, which Debian's Docker does not have.
  const env = { ...process.env, DOCKER_BUILDKIT: '0' };
  await promisify(execFile)('docker', args, { env, timeout: BUILD_TIMEOUT_MS, maxBuffer: 1 << 26 });
}

/** Imports an image for each that the Dockerfile is built on. */
export async function standInForBases(host: string): Promise<void> {
  const dockerfile = readFileSync(join(PROJECT, 'Dockerfile'), 'utf8');
  const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, image]) => image as string);
  for (const image of new Set(bases)) await standInForNode(host, image);
}

/** Imports an image with npm and the Node that the image's name gives, as `node:26.12.1-trixie-slim` has them. */
async function standInForNode(host: string, image: string): Promise<void> {
  const version = /^node:([0-9.]+)-/.exec(image)?.[1];
  if (version === undefined) throw new Error(`${image} does not say which Node it has`);
  const changes = ['ENV PATH=/usr/local/bin:/usr/bin:/bin'];
  await imported(dockerCli(host), image, changes, (root, folder) => {
    addProgram(root, provideNode(version), 'usr/local/bin/node');
    addNpm(root);
    fillCache(root, folder);
  });
}

/** Imports an image with this machine's etcd, which is where the image of etcd's project has it. */
export async function standInForEtcd(cli: EngineCli, image: string): Promise<void> {
  await imported(cli, image, ['ENV PATH=/usr/local/bin:/bin'], (root) => {
    for (const name of ['etcd', 'etcdctl']) {
      addProgram(root, commandPath(name), `usr/local/bin/${name}`);
    }
  });
}

/** Instructions that `docker import --change` takes, each on a line of its own in the Dockerfile. */
const CHANGES = /^(?:ENV|USER|VOLUME|EXPOSE|HEALTHCHECK|STOPSIGNAL|ENTRYPOINT|CMD) .*[^\\]$/gm;

/** Imports, as `soradns`, what the Dockerfile's image has, without a build: this machine's node, and dist/ as it stands. */
export async function standInForSoradns(cli: EngineCli): Promise<void> {
  const dockerfile = readFileSync(join(PROJECT, 'Dockerfile'), 'utf8');
  const last = dockerfile.slice(dockerfile.lastIndexOf('\nFROM '));
  const changes = ['ENV PATH=/usr/local/bin:/usr/bin:/bin', ...(last.match(CHANGES) ?? [])];
  await imported(cli, 'soradns', changes, (root) => {
    addProgram(root, process.execPath, 'usr/local/bin/node');
    addEnv(root);
    for (const place of ['dist', 'package.json', ...productionPackages()])
      cpSync(join(PROJECT, place), join(root, 'soradns', place), {
        recursive: true,
        filter: isRun,
      });
    chmodSync(join(root, 'soradns/dist/main.js'), 0o755);
    symlinkSync('/soradns/dist/main.js', join(root, 'usr/local/bin/soradns'));
    for (const place of ['var/lib/soradns', 'run/soradns']) {
      mkdirSync(join(root, place), { recursive: true });
      chownSync(join(root, place), USER, USER);
      chmodSync(join(root, place), 0o770);
    }
  });
}

/** No sources, types or documents, which are most of the files. */
function isRun(path: string): boolean {
  return !/\.(?:[cm]?ts|map|md)$/.test(path);
}

/** The Dockerfile's. */
const USER = 65_532;

function productionPackages(): string[] {
  const args = ['ls', '--omit=dev', '--all', '--parseable'];
  const folders = execFileSync('npm', args, npmIn(PROJECT)).trim().split('\n');
  return folders.map((folder) => relative(PROJECT, folder)).filter((place) => place !== '');
}

async function imported(
  cli: EngineCli,
  image: string,
  changes: readonly string[],
  fill: (root: string, folder: string) => void,
): Promise<void> {
  const folder = mkdtempSync(join(MEMORY, 'soradns-stand-in-'));
  const root = join(folder, 'root');
  try {
    addBusybox(root);
    fill(root, folder);
    await importFolder(cli, root, image, changes);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function addNpm(root: string): void {
  // bin/npm-cli.js
  const npm = realpathSync(join(realpathSync(commandPath('npm')), '../..'));
  cpSync(npm, join(root, 'usr/local/lib/node_modules/npm'), { recursive: true });
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(root, 'usr/local/bin/npm'));
  addEnv(root);
}

/** Where the first line of a script looks for it. */
function addEnv(root: string): void {
  mkdirSync(join(root, 'usr/bin'), { recursive: true });
  symlinkSync('/bin/env', join(root, 'usr/bin/env'));
}

function fillCache(root: string, folder: string): void {
  const project = join(folder, 'project');
  for (const file of MANIFESTS) cpSync(join(PROJECT, file), join(project, file));
  const cache = join(root, 'npm-cache');
  execFileSync('npm', ['ci', '--silent', '--cache', cache], npmIn(project));
  const registry = execFileSync('npm', ['config', 'get', 'registry'], npmIn(project)).trim();
  const settings = { registry, cache: '/npm-cache', offline: true };
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`);
  mkdirSync(join(root, 'usr/local/etc'), { recursive: true });
  writeFileSync(join(root, 'usr/local/etc/npmrc'), lines.join(''));
}

function npmIn(cwd: string): { cwd: string; encoding: 'utf8' } {
  return { cwd, encoding: 'utf8' };
}
