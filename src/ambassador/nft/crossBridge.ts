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
    const program = range.address.includes(':') ? 'ip6tables' : 'iptables';
    this.#programs = VARIANTS.map((variant) => `${program}${variant}`);
    this.#rule = [
      ...['-m', 'conntrack', '--ctstate', 'DNAT', '--ctorigdst', networkText(range)],
      ...['-m', 'comment', '--comment', COMMENT, '-j', 'ACCEPT'],
    ];
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
