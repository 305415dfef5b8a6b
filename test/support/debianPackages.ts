/**
 * Stand-ins for packages of Debian that the Dockerfile installs: this machine's files of these packages, and in base
 * images an `apt-get` that knows no other packages.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { addProgram, commandPath } from './dockerImages.ts';

/** Copies the files of each package below the root. */
const PACKAGES: Readonly<Record<string, (root: string) => void>> = {
  libnftables1: (root) => addLibrary(root, 'libnftables.so.1'),
  iptables: addIptables,
};

/** Adds the packages' files, as an installation leaves them. */
export function addPackages(root: string): void {
  for (const add of Object.values(PACKAGES)) add(root);
}

/** `apt-get install` copies the files of a package from here. */
const PROVIDED = '/var/provided';

const APT_GET = `#!/bin/sh -e
[ "$1" = install ] || exit 0
shift
for word in "$@"; do
  case "$word" in
    -*) ;;
    *)
      [ -d "${PROVIDED}/$word" ] || { echo "E: Unable to locate package $word" >&2; exit 100; }
      cp -a "${PROVIDED}/$word/." /
  esac
done
`;

/** Adds `apt-get` and the files that it installs. Call this last: files that the root has are not provided again. */
export function addAptGet(root: string): void {
  for (const [name, add] of Object.entries(PACKAGES)) {
    const provided = join(root, PROVIDED, name);
    mkdirSync(provided, { recursive: true });
    add(provided);
    removeShared(provided, root);
  }
  mkdirSync(join(root, 'usr/bin'), { recursive: true });
  writeFileSync(join(root, 'usr/bin/apt-get'), APT_GET);
  chmodSync(join(root, 'usr/bin/apt-get'), 0o755);
}

/** Removes the files of a folder that `root` has too, such as the C library. */
function removeShared(folder: string, root: string): void {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name).slice(folder.length);
    if (entry.isFile() && existsSync(join(root, path))) rmSync(join(folder, path));
  }
}

/** iptables loads its extensions, which `ldd` does not list, from a folder beside its library. */
function addIptables(root: string): void {
  const program = realpathSync(commandPath('iptables-nft'));
  const target = join('usr/sbin', basename(program));
  addProgram(root, program, target);
  for (const name of ['iptables', 'iptables-nft', 'ip6tables', 'ip6tables-nft'])
    symlinkSync(basename(program), join(root, 'usr/sbin', name));
  const extensions = join(dirname(realpathSync(libraryPath('libxtables.so.12'))), 'xtables');
  cpSync(extensions, join(root, extensions), { recursive: true });
}

function addLibrary(root: string, name: string): void {
  const path = libraryPath(name);
  addProgram(root, path, path);
}

function libraryPath(name: string): string {
  const listed = execFileSync(commandPath('ldconfig'), ['-p'], { encoding: 'utf8' });
  const line = listed.split('\n').find((each) => each.trim().startsWith(`${name} `));
  const path = line?.split(' => ')[1];
  if (path === undefined) throw new Error(`${name} is not installed`);
  return path;
}
