/**
 * The architecture as rules on the source text: which folder may import which, where each package is at home, what
 * pure code may not touch, and how large a file may grow.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { parseSource, projectRoot, type SourceFile, sourceFiles } from './sources.ts';

/** Folder (or file) of src -> what it may import besides itself. The longest match counts. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  dns: [],
  service: ['dns'],
  zone: ['dns', 'service'],
  store: ['service', 'dns'],
  forward: ['dns'],
  docker: [
    ...['dns', 'service', 'config/suggest.ts', 'printable.ts'],
    ...['store/store.ts', 'store/mirror.ts', 'store/clock.ts'],
  ],
  'metrics.ts': [],
  metrics: ['metrics.ts', 'dns', 'dataplane', 'docker', 'forward', 'server', 'store'],
  'printable.ts': [],
  'logSink.ts': [],
  'log.ts': ['config', 'logSink.ts', 'printable.ts'],
  'faultLog.ts': ['log.ts'],
  'queryLog.ts': ['dns', 'log.ts', 'printable.ts'],
  config: [
    ...['dns', 'service', 'printable.ts', 'docker/namePattern.ts'],
    ...['forward/addresses.ts', 'forward/recursion.ts', 'forward/upstream.ts'],
  ],
  'config.ts': ['config', 'printable.ts'],
  doctor: ['dns', 'forward/addresses.ts', 'forward/resolvconf.ts'],
  integrate: ['dns', 'forward/addresses.ts'],
  systemd: ['server/listen.ts', 'server/socketTable.ts'],
  dataplane: ['dns', 'service', 'zone', 'metrics.ts'],
  server: ['dns', 'service', 'zone', 'store', 'forward', 'dataplane', 'metrics.ts'],
  cli: ['*'],
  'openFiles.ts': [],
  'main.ts': ['*'],
  'health.ts': ['dns', 'forward/reply.ts', 'server/listeningAddresses.ts'],
};

/** Package -> the one file or folder of src that imports it and speaks its words. */
const HOME: Record<string, readonly string[]> = {
  dns2: ['cli/'],
  dockerode: ['docker/dockerode.ts'],
  etcd3: ['store/etcd.ts', 'store/etcd/'],
  '@grpc/grpc-js': ['store/etcd/'],
  koffi: ['dataplane/sockets/'],
  lmdb: ['store/embedded/'],
  pino: ['log.ts'],
  'pino-pretty': ['log.ts'],
  yargs: ['cli/'],
  zod: ['config/', 'server/http/'],
};

/** Decided by their arguments alone: no I/O, no packages, no clock, no chance. */
const PURE = [
  ...['dns/', 'service/', 'zone/', 'doctor/', 'integrate/'],
  ...['container', 'metadata', 'fields', 'names', 'naming', 'nameParts', 'ports'].map(inDocker),
  ...['chooseAddress', 'check', 'health', 'placement', 'refusals', 'record', 'describe'].map(
    inDocker,
  ),
  ...['namePattern', 'policy', 'reservedNames'].map(inDocker),
  ...['anticipate', 'assign', 'backoff', 'crashLoop', 'diff', 'json', 'life', 'stopSignal'].map(
    inDocker,
  ),
  ...['registrator', 'registratorKey', 'registratorMetadata', 'registratorFlags'].map(inDocker),
  ...['proxyPlaces', 'proxyQuestion', 'reducedAnswers'].map(inDocker),
];

function inDocker(name: string): string {
  return `docker/${name}.ts`;
}

const IMPURE = [
  /\bDate\.now\b/,
  /\bnew Date\(\s*\)/,
  /\bperformance\.now\b/,
  /\bcrypto\./,
  /\bprocess\./,
  /\bset(?:Timeout|Interval|Immediate)\(/,
  /\bconsole\./,
  /\bfetch\(/,
];

const MAX_LINES = 350;

const files = sourceFiles('src');
const packageJson = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8'));

/** Runs a rule on every file; it gives back what is wrong with it. */
function rule(name: string, check: (file: SourceFile, path: string) => readonly string[]): void {
  test(name, () => {
    const broken = files.flatMap((file) =>
      check(file, file.path.slice('src/'.length)).map((what) => `${file.path}: ${what}`),
    );
    if (broken.length > 0) assert.fail(broken.join('\n'));
  });
}

/** The entry of a table of folders and files that a path belongs to. */
function placeOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : path;
}

test('there is source to hold to the rules', () => {
  assert.ok(files.length > 10);
  assert.ok(files.some((file) => file.imports.length > 2));
});

test('all that is to be pure is there', () => {
  const paths = files.map(({ path }) => path.slice('src/'.length));
  const lost = PURE.filter((place) => !paths.some((path) => path.startsWith(place)));
  assert.deepEqual(lost, []);
});

rule('every folder has its place in the order of imports', (_file, path) =>
  placeOf(path) in MAY_IMPORT ? [] : [`${placeOf(path)} is not in MAY_IMPORT`],
);

rule('imports point one way', ({ imports }, path) => {
  const allowed = MAY_IMPORT[placeOf(path)] ?? [];
  return imports.flatMap(({ path: target }) => {
    if (target === undefined) return [];
    if (!target.startsWith('src/')) return [`imports ${target}, outside src`];
    const inside = target.slice('src/'.length);
    const permitted =
      placeOf(inside) === placeOf(path) ||
      allowed.some((place) => place === '*' || place === inside || place === placeOf(inside));
    return permitted ? [] : [`may not import ${inside}`];
  });
});

rule('nobody imports the commands but main', ({ imports }, path) =>
  imports
    .filter(({ path: target }) => target?.startsWith('src/cli/') || target === 'src/main.ts')
    .filter(() => placeOf(path) !== 'cli' && path !== 'main.ts')
    .map(({ specifier }) => `imports ${specifier}`),
);

rule('relative imports name the .ts file', ({ imports }) =>
  imports
    .filter(({ path: target }) => target !== undefined && !/\.(ts|json)$/.test(target))
    .map(({ specifier }) => `imports ${specifier}`),
);

rule('each package is imported at its home only', ({ imports }, path) =>
  imports.flatMap(({ package: name }) => {
    if (name === undefined || HOME[name]?.some((home) => path.startsWith(home))) return [];
    return [`imports ${name}, at home in ${HOME[name]?.join(' or ') ?? 'no place'}`];
  }),
);

rule('pure code imports neither packages nor I/O', ({ imports }, path) => {
  if (!PURE.some((place) => path.startsWith(place))) return [];
  return imports
    .filter(({ path: target, specifier }) => target === undefined && specifier !== 'node:buffer')
    .map(({ specifier }) => `imports ${specifier}`);
});

rule('pure code knows no clock, chance or process', ({ code }, path) =>
  PURE.some((place) => path.startsWith(place))
    ? IMPURE.filter((pattern) => pattern.test(code)).map(String)
    : [],
);

rule('ids, ports and answers owe nothing to Math.random', ({ code }, path) =>
  [...PURE, 'forward/'].some((place) => path.startsWith(place)) && /\bMath\.random\b/.test(code)
    ? ['use node:crypto, or take randomness as an argument']
    : [],
);

rule('files are named in camelCase', (_file, path) =>
  path.split('/').every((part) => /^[a-z][A-Za-z0-9]*(\.ts)?$/.test(part)) ? [] : ['rename it'],
);

rule('files are of one idea', ({ text }, path) => {
  const lines = text.split('\n').length - 1;
  return [
    ...(lines > MAX_LINES ? [`${lines} lines, at most ${MAX_LINES}`] : []),
    ...(/(^|\/)(utils?|helpers?|types|common|misc|index)(\.ts|\/)/.test(path)
      ? ['says nothing']
      : []),
  ];
});

rule('no file only re-exports', ({ code }) => {
  const rest = code.replace(
    /export\s+(type\s+)?(\*|\{[^}]*\})\s*(as\s+\w+\s+)?from\s*['"][^'"]+['"];?/g,
    '',
  );
  return rest.trim() === '' ? ['a barrel'] : [];
});

rule('no class is a Manager, Helper or Handler', ({ code }) =>
  [...code.matchAll(/\bclass\s+(\w*(?:Manager|Helper|Handler))\b/g)].map((match) => `${match[1]}`),
);

rule('no any and no enum', ({ code }) =>
  [/(:|\bas|<)\s*any\b/, /^\s*(export\s+)?(const\s+)?enum\s/m]
    .filter((p) => p.test(code))
    .map(String),
);

test('no two files import each other at run time, not even by a detour', () => {
  const targets = new Map(
    files.map(({ path, imports }) => [
      path,
      imports.flatMap(({ path: target, typeOnly }) => (target && !typeOnly ? [target] : [])),
    ]),
  );
  assert.deepEqual(cycle(targets), []);
});

test('every dependency has a home, and every home a dependency that is used', () => {
  const dependencies = Object.keys({
    ...packageJson.dependencies,
    ...packageJson.optionalDependencies,
  });
  assert.deepEqual(
    dependencies.filter((name) => !(name in HOME)),
    [],
  );
});

test('the rules see what they are to see', () => {
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

/** The first path that comes back to where it was, or nothing. */
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
