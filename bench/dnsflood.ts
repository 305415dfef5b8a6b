/** dnsflood.c, a minimal load generator for comparison with the one in generator/. Needs a C compiler. */
import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { GENERATOR_CORE, isInstalled, pinned } from './process.ts';

export interface FloodRequest {
  /** On 127.0.0.1. */
  readonly port: number;
  /** A file with a line `name TYPE` for each question. */
  readonly questions: string;
  readonly seconds: number;
  /** Pending queries on each of four sockets. */
  readonly window: number;
}

export interface FloodResult {
  readonly answered: number;
  readonly lost: number;
  readonly noerror: number;
  /** CPU time of dnsflood itself. */
  readonly cpuSeconds: number;
}

export type Dnsflood = (request: FloodRequest) => Promise<FloodResult>;

const SOCKETS = '4';

/** Builds it into a folder; undefined without a C compiler. */
export function buildDnsflood(folder: string): Dnsflood | undefined {
  const source = fileURLToPath(new URL('dnsflood.c', import.meta.url));
  const compiler = ['cc', 'gcc', 'clang'].find(isInstalled);
  if (compiler === undefined) return undefined;
  const program = join(folder, 'dnsflood');
  const built = spawnSync(compiler, ['-O2', '-o', program, source], { encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`${compiler} cannot build dnsflood.c: ${built.stderr}`);
  return async ({ port, questions, seconds, window }) => {
    const args = [String(port), questions, String(seconds), SOCKETS, String(window)];
    const { stdout } = await promisify(execFile)(...pinned([program, ...args], GENERATOR_CORE));
    return parse(stdout);
  };
}

/** Parses dnsflood's line of key=value pairs. */
function parse(line: string): FloodResult {
  const value = (key: string): number => Number(new RegExp(`\\b${key}=(\\d+)`).exec(line)?.[1]);
  const [answered, lost, noerror] = [value('answered'), value('lost'), value('noerror')];
  return { answered, lost, noerror, cpuSeconds: value('cpu') / 1e6 };
}
