/**
 * Compiles a program of the project to plain JavaScript, for tests that start it hundreds of times: tsx adds 300 ms to
 * each start.
 */
import { execFile } from 'node:child_process';
import { symlink, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Compiles a file of the project and its imports into a directory; returns the path to run. */
export async function compileInto(dir: string, source: URL): Promise<string> {
  const path = relative(ROOT, fileURLToPath(source));
  const config = join(dir, 'tsconfig.json');
  const compilerOptions = {
    noEmit: false,
    rootDir: ROOT,
    outDir: dir,
    typeRoots: [join(ROOT, 'node_modules/@types')],
  };
  const settings = {
    extends: join(ROOT, 'tsconfig.json'),
    compilerOptions,
    include: [],
    files: [join(ROOT, path)],
  };
  await writeFile(config, JSON.stringify(settings));
  await writeFile(join(dir, 'package.json'), '{"type":"module"}');
  await symlink(join(ROOT, 'node_modules'), join(dir, 'node_modules'));
  await promisify(execFile)(process.execPath, [
    join(ROOT, 'node_modules/typescript/bin/tsc'),
    '-p',
    config,
  ]);
  return join(dir, path.replace(/\.ts$/, '.js'));
}
