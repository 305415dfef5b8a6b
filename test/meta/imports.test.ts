/**
 * The architecture as rules on the source text. Each folder of `src` has one entry file, whose first comment says what
 * the folder does, which folders it imports and which folders use it. The rules compare these lines with the code.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import {
  folderOf,
  parseSource,
  projectRoot,
  readFolder,
  type SourceFile,
  sourceFiles,
} from './sources.ts';

/** Package -> the folder of src that imports it and translates it into the field's words. */
const HOME: Record<string, string> = {
  dns2: 'tools/doctor/',
  dockerode: 'registrar/engine/',
  etcd3: 'store/etcd/',
  '@grpc/grpc-js': 'store/etcd/',
  koffi: 'kernel/',
  lmdb: 'store/file/',
  'sorted-btree': 'store/embedded/',
  pino: 'observability/',
  'pino-pretty': 'observability/',
  yargs: 'cli/',
};

const IMPURE = [
  /\bDate\.now\b/,
  /\bnew Date\(\s*\)/,
  /\bperformance\.now\b/,
  /\bcrypto\./,
  /\brandom(?:Bytes|FillSync|Int|UUID)\b/,
  /\bprocess\./,
  /\bset(?:Timeout|Interval|Immediate)\(/,
  /\bconsole\./,
  /\bfetch\(/,
];

/** Modules of Node that only compute; `IMPURE` excludes the randomness of node:crypto. */
const COMPUTING = ['node:buffer', 'node:crypto'];

const MAX_LINES = 350;
/** A shorter file with one importer belongs in that importer, except for commands, which have a file each. */
const MIN_LINES = 40;
const ONE_IDEA_EACH = 'cli/commands/';
const FILES_OF_A_FOLDER = { min: 5, max: 15 };

const files = sourceFiles('src');
const packageJson = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8'));
const folders = new Map(files.flatMap((file) => readFolder(file) ?? []).map((f) => [f.path, f]));

/** Folder -> the other folders that its files import, sorted. */
function importedFolders(): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, Set<string>>();
  for (const { path, imports } of files) {
    const own = folderOf(path);
    const targets = imports.flatMap(({ path: target }) =>
      target?.startsWith('src/') ? [folderOf(target)] : [],
    );
    const known = found.get(own) ?? new Set();
    found.set(own, known);
    for (const target of targets) if (target !== own) known.add(target);
  }
  return new Map([...found].map(([folder, targets]) => [folder, [...targets].sort()]));
}

/** Runs a rule on every file. The rule returns what is wrong with the file. */
function rule(name: string, check: (file: SourceFile, path: string) => readonly string[]): void {
  test(name, () => {
    const broken = files.flatMap((file) =>
      check(file, file.path.slice('src/'.length)).map((what) => `${file.path}: ${what}`),
    );
    if (broken.length > 0) assert.fail(broken.join('\n'));
  });
}

/** Whether the file is in a pure folder, or has a first comment that ends in "Pure.". */
function isPure(path: string): boolean {
  const own = files.find((file) => file.path === `src/${path}`)?.text ?? '';
  const [comment = ''] = /^\/\*\*[\s\S]*?\*\//.exec(own) ?? [];
  return folders.get(folderOf(`src/${path}`))?.isPure === true || /\bPure\.\s*\*\/$/.test(comment);
}

test('The rules have files, imports and pure folders to check', () => {
  assert.ok(files.length > 10);
  assert.ok(files.some((file) => file.imports.length > 2));
  assert.ok([...folders.values()].some((folder) => folder.isPure));
});

test('Every folder of src has one entry file, whose first comment describes that folder', () => {
  const entries = files.flatMap((file) => readFolder(file) ?? []);
  const misplaced = entries.filter(({ path, entry }) => folderOf(entry) !== path);
  assert.deepEqual(misplaced, []);
  const used = [...new Set(files.map(({ path }) => folderOf(path)))].filter((f) => f !== 'main');
  assert.deepEqual(entries.map(({ path }) => path).sort(), used.sort());
});

test('Every folder imports exactly the folders that its entry file lists', () => {
  const imported = importedFolders();
  for (const { path, imports } of folders.values())
    if (imports !== undefined) assert.deepEqual(imported.get(path), imports, path);
});

test('Exactly the folders that an entry file lists use its folder', () => {
  const imported = importedFolders();
  for (const { path, usedBy } of folders.values()) {
    const users = [...imported].filter(([, targets]) => targets.includes(path));
    assert.deepEqual(users.map(([user]) => user).sort(), usedBy, path);
  }
});

test('Folders import each other in one direction, even through other folders', () => {
  assert.deepEqual(cycle(importedFolders()), []);
});

test('Every folder holds 5 to 15 files', () => {
  const counts = new Map<string, number>();
  for (const { path } of files) counts.set(folderOf(path), (counts.get(folderOf(path)) ?? 0) + 1);
  counts.delete('main');
  const { min, max } = FILES_OF_A_FOLDER;
  assert.deepEqual(
    [...counts].filter(([, count]) => count < min || count > max),
    [],
  );
});

rule('Files of src import only files of src and package.json', ({ imports }) =>
  imports
    .filter(({ path: target }) => target !== undefined && !target.startsWith('src/'))
    .filter(({ path: target }) => target !== 'package.json')
    .map(({ specifier }) => `imports ${specifier}, which is outside src`),
);

rule('Relative imports name the .ts file', ({ imports }) =>
  imports
    .filter(({ path: target }) => target !== undefined && !/\.(ts|json)$/.test(target))
    .map(({ specifier }) => `imports ${specifier} without its extension`),
);

rule('Each package is imported by one folder alone', ({ imports }, path) =>
  imports.flatMap(({ package: name }) => {
    if (name === undefined || path.startsWith(HOME[name] ?? ' ')) return [];
    const home = HOME[name];
    return [
      home === undefined
        ? `imports ${name}, which has no folder in HOME (test/meta/imports.test.ts)`
        : `imports ${name}, which only src/${home} may import`,
    ];
  }),
);

rule('Pure folders import no package and no I/O', ({ imports }, path) => {
  if (!isPure(path)) return [];
  return imports
    .filter(({ path: target, specifier }) => target === undefined && !COMPUTING.includes(specifier))
    .map(({ specifier }) => `imports ${specifier}, although its folder is pure`);
});

rule('Pure folders use no clock, no randomness and no process', ({ code }, path) =>
  isPure(path)
    ? IMPURE.filter((pattern) => pattern.test(code)).map(
        (pattern) => `uses ${pattern}: take it as an argument, its folder is pure`,
      )
    : [],
);

rule('Ids, ports and answers do not depend on Math.random', ({ code }, path) =>
  (isPure(path) || path.startsWith('forward/')) && /\bMath\.random\b/.test(code)
    ? ['uses Math.random: use node:crypto, or take randomness as an argument']
    : [],
);

rule('Files and folders are named in camelCase', (_file, path) =>
  path.split('/').every((part) => /^[a-z][A-Za-z0-9]*(\.ts)?$/.test(part))
    ? []
    : ['its name is not camelCase'],
);

rule(
  'A file has at most 350 lines, and a file with one importer at least 40',
  ({ text, path: own }, path) => {
    const lines = linesOf(text);
    return [
      ...(lines > MAX_LINES ? [`has ${lines} lines, more than ${MAX_LINES}: split it`] : []),
      ...(lines < MIN_LINES && importersOf(own) === 1 && !path.startsWith(ONE_IDEA_EACH)
        ? [`has ${lines} lines and one importer: move it into that file`]
        : []),
      ...(/(^|\/)(utils?|helpers?|types|common|misc|index)(\.ts|\/)/.test(path)
        ? ['has a name that does not say what it is about']
        : []),
    ];
  },
);

function linesOf(text: string): number {
  return text.split('\n').length - 1;
}

function importersOf(path: string): number {
  return files.filter(({ imports }) => imports.some(({ path: target }) => target === path)).length;
}

rule('No file only re-exports', ({ code }) => {
  const rest = code.replace(
    /export\s+(type\s+)?(\*|\{[^}]*\})\s*(as\s+\w+\s+)?from\s*['"][^'"]+['"];?/g,
    '',
  );
  return rest.trim() === '' ? ['only re-exports: import from the files themselves'] : [];
});

rule('No class is called Manager, Helper or Handler', ({ code }) =>
  [...code.matchAll(/\bclass\s+(\w*(?:Manager|Helper|Handler))\b/g)].map(
    (match) => `the name of class ${match[1]} does not say what it does`,
  ),
);

rule('No file uses any or enum', ({ code }) =>
  [/(:|\bas|<)\s*any\b/, /^\s*(export\s+)?(const\s+)?enum\s/m]
    .filter((pattern) => pattern.test(code))
    .map((pattern) => `matches ${pattern}`),
);

test('Files import each other in one direction, types included, even through other files', () => {
  const targets = new Map(
    files.map(({ path, imports }) => [path, imports.flatMap(({ path: target }) => target ?? [])]),
  );
  assert.deepEqual(cycle(targets), []);
});

test('Every dependency has one folder that imports it', () => {
  const dependencies = Object.keys({
    ...packageJson.dependencies,
    ...packageJson.optionalDependencies,
  });
  assert.deepEqual(
    dependencies.filter((name) => !(name in HOME)),
    [],
  );
});

test('The parser of the rules finds every form of import, and ignores comments', () => {
  const { imports, code } = parseSource(
    'src/zone/x.ts',
    [
      "import { a } from '../store/store.ts'; // from 'ghost'",
      "import type { B } from './b.ts';",
      'import {\n  c,\n  d,\n} from "etcd3/lib/c.js";',
      "import 'node:net';",
      "export * from '@scope/name/deep';",
      "const e = await import('koffi');",
      '/* process.exit() */ const text = "// not a comment";',
    ].join('\n'),
  );
  assert.deepEqual(
    imports.map(({ path, package: name, typeOnly }) => [path, name, typeOnly]),
    [
      ['src/store/store.ts', undefined, false],
      ['src/zone/b.ts', undefined, true],
      [undefined, 'etcd3', false],
      [undefined, undefined, false],
      [undefined, '@scope/name', false],
      [undefined, 'koffi', false],
    ],
  );
  assert.doesNotMatch(code, /process|ghost/);
  assert.match(code, /"\/\/ not a comment"/);
  const loop = new Map([
    ['a', ['b']],
    ['b', ['c']],
    ['c', ['b']],
  ]);
  assert.deepEqual(cycle(loop), ['b', 'c', 'b']);
});

/** The first path that returns to one of its nodes; empty if no path does. */
function cycle(targets: ReadonlyMap<string, readonly string[]>): readonly string[] {
  const done = new Set<string>();
  const visit = (node: string, path: readonly string[]): readonly string[] => {
    if (path.includes(node)) return [...path.slice(path.indexOf(node)), node];
    if (done.has(node)) return [];
    for (const next of targets.get(node) ?? []) {
      const found = visit(next, [...path, node]);
      if (found.length > 0) return found;
    }
    done.add(node);
    return [];
  };
  for (const node of targets.keys()) {
    const found = visit(node, []);
    if (found.length > 0) return found;
  }
  return [];
}
