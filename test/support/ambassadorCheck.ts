/** `ambassador check` in a process of its own, so that the test decides in which network and with which rights it runs. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import type { Finding } from '../../src/tools/doctor/judge/finding.ts';
import { MAIN } from './cli.ts';
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
  /** Words of its command line. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly dockerHost?: string;
}

const NO_ENGINE = 'unix:///nonexistent/docker.sock';

export async function checkedAmbassador({
  by = [],
  args = [],
  env = {},
  dockerHost = NO_ENGINE,
}: AmbassadorCheckSetup): Promise<AmbassadorChecked> {
  const [program = '', ...words] = [...by, process.execPath, MAIN, 'ambassador', 'check', '--json'];
  const child = spawn(program, [...words, ...args], {
    env: { ...environment(), DOCKER_HOST: dockerHost, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
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
