/** The load generator: dnsflood.c where there is a compiler, else the same in Node, which is several times slower. */
import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { GENERATOR_CORE, isInstalled, pinned } from './process.ts';

const SOCKETS = '4';
const WINDOW = 64;

export interface Generator {
  readonly title: string;
  /** `window` questions outstanding on each of four sockets. */
  flood(port: number, questionFile: string, seconds: number, window?: number): Promise<FloodResult>;
}

export interface FloodResult {
  readonly qps: number;
  readonly answered: number;
  readonly lost: number;
  readonly noerror: number;
}

/** Builds the generator into a folder, or falls back. */
export function prepareGenerator(folder: string): Generator {
  const source = fileURLToPath(new URL('dnsflood.c', import.meta.url));
  const compiler = ['cc', 'gcc', 'clang'].find(isInstalled);
  const program = join(folder, 'dnsflood');
  if (compiler !== undefined) {
    const { status, stderr } = spawnSync(compiler, ['-O2', '-o', program, source], {
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`${compiler} cannot build dnsflood.c: ${stderr}`);
    return generator('dnsflood (C)', [program]);
  }
  const slow = fileURLToPath(new URL('floodNode.ts', import.meta.url));
  return generator(
    'a Node program, for want of a C compiler: it, not the server, may be the limit',
    [...[process.execPath, '--import', 'tsx', slow]],
  );
}

function generator(title: string, command: readonly string[]): Generator {
  return {
    title,
    flood: async (port, questionFile, seconds, window = WINDOW) => {
      const args = [String(port), questionFile, String(seconds), SOCKETS, String(window)];
      const [file = '', ...rest] = pinned([...command, ...args], GENERATOR_CORE);
      const { stdout } = await promisify(execFile)(file, rest);
      return parse(stdout);
    },
  };
}

/** dnsflood's line of key=value. */
function parse(line: string): FloodResult {
  const value = (key: string): number => Number(new RegExp(`\\b${key}=(\\d+)`).exec(line)?.[1]);
  const result = { qps: value('qps'), answered: value('answered'), lost: value('lost') };
  return { ...result, noerror: value('noerror') };
}
