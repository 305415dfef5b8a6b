/**
 * Docker drops packets between its bridges. Its chain DOCKER-USER comes before that, and is for rules of others: one rule
 * there lets the connections to virtual addresses pass. Only iptables may write it: Docker reads the chain with iptables,
 * which takes rules in nft's own language for damage.
 */
import { spawnSync } from 'node:child_process';
import type { Network } from '../vipRange.ts';
import { networkText } from './tableText.ts';

export type CrossBridgeState =
  | 'present'
  /** It was missing, and is there now. */
  | 'added'
  /** Docker has no such chain, or there is no Docker. */
  | 'noChain'
  /** The program iptables is not installed, or may not read the rules. */
  | 'noProgram';

const CHAIN = 'DOCKER-USER';
const TIMEOUT_MS = 10_000;
/** The exit code of iptables for what does not exist. */
const ABSENT = 1;

export class CrossBridgeRule {
  readonly #rule: readonly string[];
  readonly #program: string;

  /** The range of virtual addresses of one family. */
  constructor(range: Network) {
    this.#program = range.address.includes(':') ? 'ip6tables' : 'iptables';
    this.#rule = [
      ...['-m', 'conntrack', '--ctstate', 'DNAT', '--ctorigdst', networkText(range)],
      ...['-j', 'ACCEPT'],
    ];
  }

  ensure(): CrossBridgeState {
    const listed = this.#run('-n', '-L', CHAIN);
    if (listed !== 0) return listed === ABSENT ? 'noChain' : 'noProgram';
    if (this.#run('-C', CHAIN, ...this.#rule) === 0) return 'present';
    return this.#run('-I', CHAIN, ...this.#rule) === 0 ? 'added' : 'noProgram';
  }

  remove(): void {
    while (this.#run('-D', CHAIN, ...this.#rule) === 0);
  }

  /** The exit code; undefined if the program did not run. */
  #run(...args: readonly string[]): number | undefined {
    // -w: another program may hold the lock of iptables.
    const { status, error } = spawnSync(this.#program, ['-w', '5', ...args], {
      stdio: 'ignore',
      timeout: TIMEOUT_MS,
    });
    return error === undefined ? (status ?? undefined) : undefined;
  }
}
