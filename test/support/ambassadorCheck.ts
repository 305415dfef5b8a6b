/**
 * `ambassador check` in a process of its own, so that the test decides in which network and with which rights it runs.
 * The file is also that process's program.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { checkAmbassador } from '../../src/cli/ambassadorCheck.ts';
import { readConfig } from '../../src/config/config.ts';
import type { FlagValue } from '../../src/config/settings.ts';
import type { Finding } from '../../src/tools/doctor/judge/finding.ts';
import { environment } from './hostCleaner.ts';

export interface AmbassadorChecked {
  readonly code: number;
  readonly findings: readonly Finding[];
  /** The findings of one check as `level: message`. */
  of(check: string): readonly string[];
  /** The only fix of one check. */
  fix(check: string): string;
}

export interface AmbassadorCheckSetup {
  /** The command line that starts the program: `unshare -n`, `setpriv ...`. */
  readonly by?: readonly string[];
  /** Options of `serve`. */
  readonly flags?: Readonly<Record<string, FlagValue>>;
  readonly dockerHost?: string;
}

const PROGRAM = fileURLToPath(import.meta.url);
const NO_ENGINE = 'unix:///nonexistent/docker.sock';

export async function checkedAmbassador({
  by = [],
  flags = {},
  dockerHost = NO_ENGINE,
}: AmbassadorCheckSetup): Promise<AmbassadorChecked> {
  // The program may start in another folder, where Node does not find packages by their names.
  const execArgv = ['--import', import.meta.resolve('tsx')];
  const line = [...by, process.execPath, ...execArgv, PROGRAM, JSON.stringify(flags)];
  const [command = '', ...args] = line;
  const env = { ...environment(), DOCKER_HOST: dockerHost };
  const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  assert.match(stdout, /^\{.*\}\n$/, stderr);
  const findings: readonly Finding[] = JSON.parse(stdout).findings;
  const of = (check: string) => findings.filter((finding) => finding.check === check);
  return {
    code: code as number,
    findings,
    of: (check) => of(check).map(({ level, message }) => `${level}: ${message}`),
    fix: (check) => {
      const fixes = of(check).flatMap(({ fix }) => fix ?? []);
      assert.equal(fixes.length, 1, stdout);
      return fixes[0] ?? '';
    },
  };
}

async function run(flags: Readonly<Record<string, FlagValue>>): Promise<number> {
  const input = {
    env: {},
    readFile: () => ({ problem: 'no files' }),
    stateDirectory: '/nonexistent',
  };
  const read = readConfig({ ...input, flags: { store: 'memory:', ...flags } });
  assert.ok(read.kind === 'config', JSON.stringify(read));
  const output = {
    isTty: false,
    colour: false,
    write: (part: string) => process.stdout.write(part),
  };
  const io = {
    ...{ ...input, env: process.env, stdout: output, stderr: output },
    ...{
      stop: new AbortController().signal,
      handleSignals() {},
      onReload() {},
      outliveReaders() {},
    },
  };
  return checkAmbassador(read.config, io, { json: true });
}

if (process.argv[1] === PROGRAM) {
  process.exitCode = await run(JSON.parse(process.argv[2] ?? '{}'));
}
