/** The source text for the tests that check rules on it: the files of a folder, and the imports of a file. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

export const projectRoot: string = fileURLToPath(new URL('../..', import.meta.url));

export interface SourceFile {
  /** From the project's root, with `/`: `src/dns/name.ts`. */
  readonly path: string;
  readonly text: string;
  /** The text without comments, for patterns that mean code. */
  readonly code: string;
  readonly imports: readonly Import[];
}

export interface Import {
  /** As written: `./name.ts`, `node:net`, `etcd3`. */
  readonly specifier: string;
  /** The path from the project's root when it is relative, else undefined. */
  readonly path: string | undefined;
  /** The package's name (`@scope/name`) when the import is neither relative nor of Node, else undefined. */
  readonly package: string | undefined;
  /** `import type`: it does not exist at run time. */
  readonly typeOnly: boolean;
}

/** The contents of the first comment in a folder's entry file. */
export interface Folder {
  readonly path: string;
  readonly entry: string;
  /** What the folder does, in a sentence. */
  readonly purpose: string;
  readonly isPure: boolean;
  /** `undefined` means every folder. */
  readonly imports: readonly string[] | undefined;
  readonly usedBy: readonly string[];
}

/** Every .ts file below a folder of the project, by path. */
export function sourceFiles(folder: string): SourceFile[] {
  const names = readdirSync(join(projectRoot, folder), { recursive: true, encoding: 'utf8' });
  return names
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${folder}/${name.split(sep).join('/')}`)
    .sort()
    .map((path) => parseSource(path, readFileSync(join(projectRoot, path), 'utf8')));
}

/** A file's imports, static and dynamic, and its re-exports. */
export function parseSource(path: string, text: string): SourceFile {
  const code = withoutComments(text);
  const statements =
    /\b(?:import|export)\s+(type\s)?[^'"`;()]*?\bfrom\s*['"]([^'"]+)['"]|\bimport\s*\(?\s*()['"]([^'"]+)['"]/g;
  const imports = [...code.matchAll(statements)].map((match) =>
    toImport(path, match[2] ?? match[4] ?? '', match[1] !== undefined),
  );
  return { path, text, code, imports };
}

function toImport(from: string, specifier: string, typeOnly: boolean): Import {
  const relative = specifier.startsWith('.');
  const parts = specifier.split('/');
  const name = specifier.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0];
  return {
    specifier,
    path: relative ? posix.join(dirname(from), specifier) : undefined,
    package: relative || specifier.startsWith('node:') ? undefined : name,
    typeOnly,
  };
}

/** Blanks out comments, and leaves strings and templates as they are. */
function withoutComments(text: string): string {
  const tokens =
    /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g;
  return text.replace(tokens, (token) =>
    token.startsWith('/*') || token.startsWith('//') ? token.replace(/[^\n]/g, ' ') : token,
  );
}

/** The header of an entry file: `folder/: what it does. [Pure.]`, `Imports: a, b.`, `Used by: c.` */
export function readFolder({ path, text }: SourceFile): Folder | undefined {
  const comment = /^\/\*\*\n([\s\S]*?)\*\//.exec(text)?.[1]?.replaceAll(/\n \* {3}/g, ' ') ?? '';
  const header = /^ \* (\S+)\/: (.+)\n \* Imports: (.+)\.\n \* Used by: (.+)\.\n/.exec(comment);
  if (header === null) return undefined;
  const [, folder = '', purpose = '', imports = '', usedBy = ''] = header;
  const isPure = purpose.endsWith(' Pure.');
  const listed = imports === 'every folder' ? undefined : listOf(imports);
  return { path: folder, entry: path, purpose, isPure, imports: listed, usedBy: listOf(usedBy) };
}

function listOf(text: string): readonly string[] {
  return text === 'nothing' ? [] : text.split(', ');
}

/** The folder of a file of src: `server/http` of `src/server/http/client.ts`, `main` of the files in src itself. */
export function folderOf(path: string): string {
  const inside = path.slice('src/'.length);
  return inside.includes('/') ? inside.slice(0, inside.lastIndexOf('/')) : 'main';
}
