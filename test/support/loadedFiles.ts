/** The files that a program loads, from the coverage that V8 reports when it exits. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type CliResult, MAIN, spawnCli } from './cli.ts';
import { withTempDir } from './tempDir.ts';

export interface LoadedFiles extends CliResult {
  /** The program's own files, from `dist` on. */
  readonly own: readonly string[];
  /** The names of the packages that it loaded a file of. */
  readonly packages: ReadonlySet<string>;
  /** Node's own modules, as in `NativeModule http`. */
  readonly builtins: ReadonlySet<string>;
}

const PRELOAD = fileURLToPath(new URL('builtinModules.cjs', import.meta.url));
const DIST = new URL('.', new URL(`file://${MAIN}`)).href;

/** Runs a built program with the arguments, `dist/main.js` without another one. */
export function loadedFiles(args: readonly string[], program: string = MAIN): Promise<LoadedFiles> {
  return withTempDir(async (folder) => {
    const builtins = join(folder, 'builtins');
    const coverage = join(folder, 'coverage');
    const env = { NODE_V8_COVERAGE: coverage, BUILTIN_MODULES: builtins };
    const command = [process.execPath, '--require', PRELOAD, program] as const;
    const result = await spawnCli(args, env, [...command]);
    const urls = readdirSync(coverage).flatMap((file) => urlsOf(join(coverage, file)));
    return {
      ...result,
      own: urls.filter((url) => url.startsWith(DIST)).map((url) => url.slice(DIST.length)),
      packages: new Set(urls.flatMap((url) => packageOf(url) ?? [])),
      builtins: new Set(readFileSync(builtins, 'utf8').split('\n')),
    };
  });
}

function urlsOf(path: string): readonly string[] {
  const { result } = JSON.parse(readFileSync(path, 'utf8'));
  return (result as readonly { url: string }[]).map(({ url }) => url);
}

function packageOf(url: string): string | undefined {
  return /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1];
}
