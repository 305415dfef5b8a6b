/** Images without a registry: programs of this machine with their libraries, packed for `docker import`. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { EngineCli } from './engineCommands.ts';

/**
 * `bb`: busybox, which the others contain too. `node`: the Node that runs the tests. `peer`: peer.c with each C
 * library, and flow.c.
 */
export type Image = 'bb' | 'node' | 'peer';

const CHANGES = ['ENV PATH=/bin:/usr/bin', 'CMD ["sh"]'];

/** Imports one of the images under its name. */
export async function provideImage(cli: EngineCli, image: Image): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'soradns-image-'));
  try {
    addBusybox(root);
    if (image === 'node') addProgram(root, process.execPath, 'bin/node');
    if (image === 'peer') addPeers(root);
    await importFolder(cli, root, image);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** Adds busybox with all its applets in /bin. */
export function addBusybox(root: string): void {
  addProgram(root, commandPath('busybox'), 'bin/busybox');
  mkdirSync(join(root, 'tmp'), { mode: 0o1777 });
  const applets = execFileSync('busybox', ['--list'], { encoding: 'utf8' }).split('\n');
  for (const applet of applets.filter((name) => name !== '' && name !== 'busybox')) {
    symlinkSync('busybox', join(root, 'bin', applet));
  }
}

/** Adds `peer-glibc`, linked like most programs, `peer-musl`, linked like programs of Alpine, and `flow`. */
function addPeers(root: string): void {
  const built = mkdtempSync(join(tmpdir(), 'soradns-peer-'));
  try {
    const add = (compiler: string, name: string, source: string, ...options: string[]): void => {
      const path = compile(built, compiler, name, source, ...options);
      addProgram(root, path, join('bin', name));
    };
    add('gcc', 'peer-glibc', 'peer.c', '-lresolv');
    add('musl-gcc', 'peer-musl', 'peer.c', '-static', '-lresolv');
    add('musl-gcc', 'flow', 'flow.c', '-static');
  } finally {
    rmSync(built, { recursive: true, force: true });
  }
}

/** Compiles a source of this folder; returns the path of the program. */
export function compile(
  folder: string,
  compiler: string,
  name: string,
  source: string,
  ...options: readonly string[]
): string {
  const path = join(folder, name);
  const file = fileURLToPath(new URL(source, import.meta.url));
  execFileSync(compiler, ['-o', path, file, ...options], { stdio: 'pipe' });
  return path;
}

/** Copies the program to `target` below the root, and its shared libraries to their own paths. */
export function addProgram(root: string, path: string, target: string): void {
  copy(realpathSync(path), join(root, target));
  for (const library of librariesOf(path)) copy(realpathSync(library), join(root, library));
}

function copy(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
}

function librariesOf(path: string): string[] {
  try {
    const listed = execFileSync('ldd', [path], { encoding: 'utf8', stdio: 'pipe' });
    return [...listed.matchAll(/(?:^|\s)(\/\S+) \(0x/gm)].map(([, library]) => library as string);
  } catch {
    return []; // linked statically
  }
}

/** Path of the command on this machine. */
export function commandPath(command: string): string {
  const path = (process.env.PATH ?? '').split(delimiter);
  const folders = [...path, '/bin', '/usr/bin', '/sbin', '/usr/sbin'];
  const folder = folders.find((candidate) => existsSync(join(candidate, command)));
  if (folder === undefined) throw new Error(`${command} is not installed`);
  return join(folder, command);
}

/** Imports the folder as an image. `changes`: instructions of a Dockerfile. */
export async function importFolder(
  cli: EngineCli,
  root: string,
  image: string,
  changes: readonly string[] = CHANGES,
): Promise<void> {
  const tar = spawn('tar', ['-C', root, '-c', '.'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const options = changes.flatMap((change) => ['--change', change]);
  const [command, ...args] = cli('import', ...options, '-', image);
  const engine = spawn(command, args, { stdio: [tar.stdout, 'ignore', 'pipe'] });
  let problem = '';
  engine.stderr.setEncoding('utf8').on('data', (text: string) => {
    problem += text;
  });
  const [code] = await once(engine, 'close');
  tar.kill(); // an engine that refuses a change does not read it
  if (code !== 0) throw new Error(`import of ${image}: ${problem}`);
}

/** This machine's `docker` command for the daemon at `host`. */
export function dockerCli(host: string): EngineCli {
  return (...args) => ['docker', '--host', host, ...args];
}
