/**
 * Docker drops packets between its bridges. Its chain DOCKER-USER comes before that, and is for rules of others: one rule
 * there accepts the packets that our table has marked. Only iptables may write it: Docker reads the chain with iptables,
 * which takes rules in nft's own language for damage.
 */
import { execFile } from 'node:child_process';
import { CROSSING_MARK } from './tableText.ts';

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
/** Packets that another program has marked the same way, and that nobody translated, do not cross. */
const RULE = [
  ...['-m', 'mark', '--mark', `${CROSSING_MARK}/${CROSSING_MARK}`],
  ...['-m', 'conntrack', '--ctstate', 'DNAT', '-m', 'comment', '--comment', COMMENT],
  ...['-j', 'ACCEPT'],
];
/** Docker uses the first; where that was exchanged while Docker ran, its rules are in one of the others. */
const VARIANTS = ['', '-nft', '-legacy'];
/** The exit code of iptables for what does not exist. */
const ABSENT = 1;

export class CrossBridgeRule {
  readonly #programs: readonly string[];

  constructor(family: 4 | 6) {
    this.#programs = programsOf(family);
  }

  async ensure(): Promise<CrossBridgeState> {
    const { program, state } = await this.#find();
    if (program === undefined) return state;
    if ((await run(program, '-C', CHAIN, ...RULE)) === 0) return 'present';
    return (await run(program, '-I', CHAIN, ...RULE)) === 0 ? 'added' : 'noProgram';
  }

  async remove(): Promise<void> {
    const { program } = await this.#find();
    if (program === undefined) return;
    while ((await run(program, '-D', CHAIN, ...RULE)) === 0);
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

/** Removes our rule of a family, by whatever process and however often it was written; returns how often. */
export async function removeCrossBridgeRules(family: 4 | 6): Promise<number> {
  let count = 0;
  for (const program of programsOf(family))
    while ((await run(program, '-D', CHAIN, ...RULE)) === 0) count++;
  return count;
}

function programsOf(family: 4 | 6): readonly string[] {
  return VARIANTS.map((variant) => `${family === 6 ? 'ip6tables' : 'iptables'}${variant}`);
}

/** The exit code; undefined if the program did not run, or did not end in time. */
function run(program: string, ...args: readonly string[]): Promise<number | undefined> {
  return new Promise((resolve) => {
    // -w: another program may hold the lock of iptables.
    execFile(program, ['-w', '5', ...args], { timeout: TIMEOUT_MS }, (error) => {
      if (error === null) resolve(0);
      else resolve(typeof error.code === 'number' ? error.code : undefined);
    });
  });
}
