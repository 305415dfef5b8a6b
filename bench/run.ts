/**
 * `npm run bench`: measures the built server beside the installed DNS servers and prints Markdown for docs/benchmark.md. All
 * programs run on loopback, on free ports and in a temporary folder.
 *
 *   npm run bench -- [--only PART,PART...] [--rounds 7] [--seconds 2] [--puts 500] [--max-keys 1000000] [--starts 100] [--quick]
 *     [--measure hit,nxdomain,edns,latency,changes,workers,tcp,floods,memory,names,profile]
 *     [--links ways,services,changes,leaving,leader,dns]
 *
 *   npm run bench -- --only scale [--hosts 200] [--keys 100000] [--lease-ttl 30] [--oldest-etcd]
 *
 *   npm run bench -- --only before --other /another/checkout/dist/main.js
 *
 * The parts are dataplane, forward, dot, gate, dnstap, dnssec, wildcard, put, load, registrar, hostile, ambassador, cli, memory
 * and transfer. `scale` takes long, and `before` needs another build: they run only if you name them.
 * `ambassador` needs root, because it makes network namespaces.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { BUILT_ETCDS, builtEtcd } from '../test/support/etcdBuilds.mjs';
import { noOwnNetwork } from '../test/support/ownNetwork.ts';
import { benchAmbassador } from './ambassador.ts';
import { benchBefore } from './before.ts';
import { benchCli } from './cli.ts';
import { benchDataplane, DEFAULT_MEASURES, MEASURE_NAMES, type MeasureName } from './dataplane.ts';
import { benchDnssec } from './dnssec.ts';
import { benchDnstap } from './dnstap.ts';
import { benchDot } from './dot.ts';
import { benchForward } from './forward.ts';
import { benchGate } from './gate.ts';
import { benchHostile } from './hostile.ts';
import { benchLoad } from './load.ts';
import { benchMemory } from './memory.ts';
import { isInstalled } from './process.ts';
import { benchPut } from './put.ts';
import { benchRegistrar } from './registrar.ts';
import { benchScale } from './scale.ts';
import { program } from './soradns.ts';
import { benchTransfer } from './transfer.ts';
import { benchWildcard } from './wildcard.ts';

const NEED_ETCD = ['put', 'load', 'registrar', 'transfer', 'scale'];
const KEY_COUNTS = [1000, 100_000, 1_000_000];

process.env.PATH += ':/usr/local/sbin:/usr/sbin:/sbin';

const { values } = parseArgs({
  options: {
    only: {
      type: 'string',
      multiple: true,
      default: [
        'dataplane',
        'forward',
        'dot',
        'gate',
        'dnstap',
        'dnssec',
        'wildcard',
        'put',
        'load',
        'registrar',
        'hostile',
        'ambassador',
        'cli',
        'memory',
        'transfer',
      ],
    },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    puts: { type: 'string' },
    'max-keys': { type: 'string' },
    starts: { type: 'string' },
    other: { type: 'string' },
    hosts: { type: 'string' },
    keys: { type: 'string' },
    'lease-ttl': { type: 'string' },
    'oldest-etcd': { type: 'boolean', default: false },
    measure: { type: 'string', multiple: true },
    links: { type: 'string', multiple: true },
    quick: { type: 'boolean', default: false },
  },
});
const amount = (text: string | undefined, usual: number, quick: number): number =>
  text === undefined ? (values.quick ? quick : usual) : Number(text);

const pairs = amount(values.rounds, 7, 1);
const seconds = amount(values.seconds, 2, 1);
const rounds = amount(values.rounds, 5, 2);
const puts = amount(values.puts, 500, 100);
const maxKeys = amount(values['max-keys'], 1_000_000, 100_000);
const starts = amount(values.starts, 100, 20);
const hosts = amount(values.hosts, 200, 20);
const leaseTtlSeconds = Number(values['lease-ttl'] ?? 30);
const keys = amount(values.keys, 100_000, 2_000);
const manyNames = Math.min(maxKeys, 1_000_000);
const measures = chosenMeasures(values.measure);

if (!existsSync(program)) {
  console.error('dist/ is missing: run npm run build first');
  process.exit(2);
}
const folder = mkdtempSync(join(tmpdir(), 'soradns-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/** Each part prints its section, or the reason why it could not be measured. */
const parts: Record<string, (folder: string) => Promise<string>> = {
  dataplane: (folder) => benchDataplane({ folder, measures, rounds: pairs, seconds, manyNames }),
  forward: (folder) => benchForward({ folder, rounds: pairs, seconds, manyNames: 0 }),
  dot: (folder) => benchDot({ folder, rounds: pairs, seconds }),
  gate: (folder) => benchGate({ folder, rounds: pairs, seconds, manyNames: 0 }),
  dnstap: (folder) => benchDnstap({ folder, rounds: pairs, seconds, manyNames: 0 }),
  dnssec: (folder) => benchDnssec({ folder, rounds: pairs, seconds, manyNames: 0 }),
  wildcard: (folder) => benchWildcard({ folder, rounds: pairs, seconds, manyNames: 0 }),
  put: (folder) => benchPut({ folder, puts }),
  load: (folder) => benchLoad({ folder, keyCounts: KEY_COUNTS.filter((keys) => keys <= maxKeys) }),
  registrar: (folder) => benchRegistrar({ folder, starts, rounds }),
  hostile: (folder) => benchHostile({ folder, isQuick: values.quick }),
  ambassador: (folder) =>
    benchAmbassador({
      ...{ folder, rounds: pairs, isQuick: values.quick },
      measures: values.links?.flatMap((list) => list.split(',')),
    }),
  memory: (folder) =>
    benchMemory({ folder, rounds: pairs, seconds, manyNames, isQuick: values.quick }),
  cli: (folder) => benchCli({ folder, rounds: pairs }),
  transfer: (folder) =>
    benchTransfer({ folder, rounds: pairs, seconds, manyNames, isQuick: values.quick }),
  before: (folder) =>
    benchBefore({ folder, rounds: pairs, seconds, manyNames: 0 }, otherBuild(values.other)),
  scale: () => benchScale({ hosts, keys, leaseTtlSeconds, etcds: etcds() }),
};

for (const [name, part] of chosenParts(values.only)) {
  if (NEED_ETCD.includes(name) && !isInstalled('etcd')) {
    console.error(`${name}: needs etcd (Debian's etcd-server)`);
    process.exitCode = 1;
    continue;
  }
  if (name === 'ambassador' && noOwnNetwork !== undefined) {
    console.error(`${name}: ${noOwnNetwork}`);
    process.exitCode = 1;
    continue;
  }
  try {
    const ownFolder = join(folder, name);
    mkdirSync(ownFolder, { recursive: true });
    console.log(`${await part(ownFolder)}\n`);
  } catch (error) {
    console.error(`${name}:`, error);
    process.exitCode = 1;
  }
}
const args = process.argv.slice(2).join(' ');
console.log(`\`npm run bench${args === '' ? '' : ` -- ${args}`}\` on ${machine()}.`);
process.exit();

/** Debian's etcd, and the newest one that the tests have built here unless `--oldest-etcd` leaves it out. */
function etcds(): ReadonlyMap<string, string> {
  const version = BUILT_ETCDS.at(-1) ?? '';
  const newest = builtEtcd(version);
  const debian: [string, string][] = [["Debian's etcd", 'etcd']];
  return new Map(
    newest === undefined || values['oldest-etcd']
      ? debian
      : [...debian, [`etcd ${version}`, newest]],
  );
}

function otherBuild(path: string | undefined): string {
  if (path !== undefined && existsSync(path)) return resolve(path);
  throw new Error('--other needs the path of main.js of another build');
}

/** Exits if a name is unknown, before anything is measured. */
function chosenParts(given: readonly string[]): [string, (folder: string) => Promise<string>][] {
  const chosen: [string, (folder: string) => Promise<string>][] = [];
  for (const name of given.flatMap((list) => list.split(','))) {
    const part = parts[name];
    if (part === undefined) {
      console.error(`--only takes ${Object.keys(parts).join(', ')}, not ${name}`);
      process.exit(2);
    }
    chosen.push([name, part]);
  }
  return chosen;
}

function chosenMeasures(given: readonly string[] | undefined): readonly MeasureName[] {
  const wanted = given?.flatMap((list) => list.split(','));
  const unknown = wanted?.find((name) => !MEASURE_NAMES.some((known) => known === name));
  if (unknown !== undefined) {
    console.error(`--measure takes ${MEASURE_NAMES.join(', ')}, not ${unknown}`);
    process.exit(2);
  }
  return MEASURE_NAMES.filter((name) => (wanted ?? DEFAULT_MEASURES).includes(name));
}

function machine(): string {
  const model = cpus()[0]?.model.trim() ?? 'an unknown processor';
  return `${availableParallelism()} cores of ${model}, ${process.platform}, Node ${process.version}`;
}
