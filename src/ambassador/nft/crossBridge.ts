/**
 * Docker drops packets between its bridges. Its chain DOCKER-USER comes before that, and is for rules of others: one rule
 * there lets the connections to virtual addresses pass. Only iptables may write it: Docker reads the chain with iptables,
 * which takes rules in nft's own language for damage.
 */
import { execFile } from 'node:child_process';
import type { Network } from '../vipRange.ts';
import { networkText } from './tableText.ts';

export type CrossBridgeState =
  | 'present'
  /** It was missing, and is there now. */
  | 'added'
  /** Docker has no such chain, or there is no Docker. */
  | 'noChain'
  /** The program iptables is not installed, or may not change the rules. */
  | 'noProgram';

const CHAIN = 'DOCKER-USER';
const COMMENT = 'soradns';
const TIMEOUT_MS = 10_000;
/** Docker uses the first; where that was exchanged while Docker ran, its rules are in one of the others. */
const VARIANTS = ['', '-nft', '-legacy'];
/** The exit code of iptables for what does not exist. */
const ABSENT = 1;

export class CrossBridgeRule {
  readonly #rule: readonly string[];
  readonly #programs: readonly string[];

  /** The range of virtual addresses of one family. */
  constructor(range: Network) {
    this.#programs = programsOf(range.address.includes(':') ? 6 : 4);
    this.#rule = ruleFor(networkText(range));
  }

  async ensure(): Promise<CrossBridgeState> {
    const { program, state } = await this.#find();
    if (program === undefined) return state;
    if ((await run(program, '-C', CHAIN, ...this.#rule)) === 0) return 'present';
    return (await run(program, '-I', CHAIN, ...this.#rule)) === 0 ? 'added' : 'noProgram';
  }

  async remove(): Promise<void> {
    const { program } = await this.#find();
    if (program === undefined) return;
    while ((await run(program, '-D', CHAIN, ...this.#rule)) === 0);
  }

  /** The program that has the chain, or why there is none. */
  async #find(): Promise<{ program?: string; state: CrossBridgeState }> {
    let state: CrossBridgeState = 'noProgram';
    for (const program of this.#programs) {
      const code = await run(program, '-n', '-L', CHAIN);
      if (code === 0) return { program, state: 'present' };
      if (code === ABSENT) state = 'noChain';
    }
    return { state };
  }
}

/** Removes the rules of all ranges of a family, by whatever process; returns how many there were. */
export async function removeCrossBridgeRules(family: 4 | 6): Promise<number> {
  let count = 0;
  for (const program of programsOf(family)) {
    const { output } = await runFor(program, '-S', CHAIN);
    for (const range of rangesIn(output))
      if ((await run(program, '-D', CHAIN, ...ruleFor(range))) === 0) count++;
  }
  return count;
}

/** The ranges in a listing, each as often as it is there. A rule of another form is not ours. */
function rangesIn(listing: string): readonly string[] {
  return listing.split('\n').flatMap((line) => {
    const [, range] = /^-A .* --ctorigdst ([0-9a-f.:]+\/[0-9]+) /.exec(line) ?? [];
    const isOurs = new RegExp(` --comment "?${COMMENT}"? -j ACCEPT$`).test(line);
    return isOurs && range !== undefined ? [range] : [];
  });
}

function programsOf(family: 4 | 6): readonly string[] {
  return VARIANTS.map((variant) => `${family === 6 ? 'ip6tables' : 'iptables'}${variant}`);
}

function ruleFor(range: string): readonly string[] {
  return [
    ...['-m', 'conntrack', '--ctstate', 'DNAT', '--ctorigdst', range],
    ...['-m', 'comment', '--comment', COMMENT, '-j', 'ACCEPT'],
  ];
}

/** The exit code; undefined if the program did not run, or did not end in time. */
async function run(program: string, ...args: readonly string[]): Promise<number | undefined> {
  return (await runFor(program, ...args)).code;
}

function runFor(
  program: string,
  ...args: readonly string[]
): Promise<{ readonly code: number | undefined; readonly output: string }> {
  return new Promise((resolve) => {
    // -w: another program may hold the lock of iptables.
    execFile(program, ['-w', '5', ...args], { timeout: TIMEOUT_MS }, (error, output) => {
      const code = error === null ? 0 : error.code;
      resolve({ code: typeof code === 'number' ? code : undefined, output });
    });
  });
}
