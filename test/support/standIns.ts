/**
 * Stand-ins for the images in Dockerfile and compose.yaml, under the same names, for machines without a container
 * registry: busybox with Node from npm's registry and this machine's npm, and this machine's etcd. npm and apt-get in
 * these images work offline, with a cache that this machine's npm fills and this machine's libraries, so a build needs no
 * network.
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
import { addAptGet, addPackages } from './debianPackages.ts';
import { addBusybox, addProgram, commandPath, dockerCli, importFolder } from './dockerImages.ts';
import type { EngineCli } from './engineCommands.ts';
import { provideNode } from './nodes.mjs';
import { MEMORY } from './tempDir.ts';

/** The folder of Dockerfile and compose.yaml. */
export const PROJECT = fileURLToPath(new URL('../..', import.meta.url));

const BUILD_TIMEOUT_MS = 240_000;

/** The files that npm ci reads. */
const MANIFESTS = ['package.json', 'package-lock.json', '.npmrc'];

/** Builds the Dockerfile on stand-ins for its base images, as `soradns`. */
export async function buildImage(host: string): Promise<void> {
  await standInForBases(host);
  const args = ['--host', host, 'build', '--tag', 'soradns', PROJECT];
  // Debian's Docker has no BuildKit.
  const env = { ...process.env, DOCKER_BUILDKIT: '0' };
  await promisify(execFile)('docker', args, { env, timeout: BUILD_TIMEOUT_MS, maxBuffer: 1 << 26 });
}

/** Imports a stand-in for each base image of the Dockerfile that the engine lacks: a new one would build all steps again. */
export async function standInForBases(host: string): Promise<void> {
  const dockerfile = readFileSync(join(PROJECT, 'Dockerfile'), 'utf8');
  const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, image]) => image as string);
  for (const image of new Set(bases))
    if (!(await hasImage(host, image))) await standInForNode(host, image);
}

function hasImage(host: string, image: string): Promise<boolean> {
  return promisify(execFile)('docker', ['--host', host, 'image', 'inspect', image]).then(
    () => true,
    () => false,
  );
}

/** As in Debian's images. */
const PATH = 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Imports an image with npm, apt-get and the Node version in the image's name, such as `node:26.12.1-trixie-slim`. */
async function standInForNode(host: string, image: string): Promise<void> {
  const version = /^node:([0-9.]+)-/.exec(image)?.[1];
  if (version === undefined) throw new Error(`the name ${image} has no Node version`);
  await imported(dockerCli(host), image, [PATH], (root, folder) => {
    addProgram(root, provideNode(version), 'usr/local/bin/node');
    addNpm(root);
    fillCache(root, folder);
    addAptGet(root);
  });
}

/** Imports an image with this machine's etcd, at the path of etcd's official image. */
export async function standInForEtcd(cli: EngineCli, image: string): Promise<void> {
  await imported(cli, image, ['ENV PATH=/usr/local/bin:/bin'], (root) => {
    for (const name of ['etcd', 'etcdctl']) {
      addProgram(root, commandPath(name), `usr/local/bin/${name}`);
    }
  });
}

/**
 * Instructions of the Dockerfile that `docker import --change` accepts, each on its own line. Docker 20.10 refuses
 * STOPSIGNAL; the Dockerfile's is Docker's default.
 */
const CHANGES = /^(?:ENV|USER|VOLUME|EXPOSE|HEALTHCHECK|ENTRYPOINT|CMD) .*[^\\]$/gm;

/** Imports an image `soradns` like the Dockerfile's, without a build: this machine's Node and the present dist/. */
export async function standInForSoradns(cli: EngineCli): Promise<void> {
  const dockerfile = readFileSync(join(PROJECT, 'Dockerfile'), 'utf8');
  const last = dockerfile.slice(dockerfile.lastIndexOf('\nFROM '));
  const changes = [PATH, ...(last.match(CHANGES) ?? [])];
  await imported(cli, 'soradns', changes, (root) => {
    addProgram(root, process.execPath, 'usr/local/bin/node');
    addEnv(root);
    addPackages(root);
    for (const path of ['dist', 'package.json', ...productionPackages()])
      cpSync(join(PROJECT, path), join(root, 'soradns', path), {
        recursive: true,
        filter: isNeeded,
      });
    chmodSync(join(root, 'soradns/dist/main.js'), 0o755);
    symlinkSync('/soradns/dist/main.js', join(root, 'usr/local/bin/soradns'));
    for (const path of ['var/lib/soradns', 'run/soradns']) {
      mkdirSync(join(root, path), { recursive: true });
      chownSync(join(root, path), USER, USER);
      chmodSync(join(root, path), 0o770);
    }
  });
}

/** Leaves out sources, types and documents, which are most of the files. */
function isNeeded(path: string): boolean {
  return !/\.(?:[cm]?ts|map|md)$/.test(path);
}

/** The Dockerfile's user. */
const USER = 65_532;

function productionPackages(): string[] {
  const args = ['ls', '--omit=dev', '--all', '--parseable'];
  const folders = execFileSync('npm', args, npmIn(PROJECT)).trim().split('\n');
  return folders.map((folder) => relative(PROJECT, folder)).filter((path) => path !== '');
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

/** Adds /usr/bin/env for the first line of scripts. */
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
