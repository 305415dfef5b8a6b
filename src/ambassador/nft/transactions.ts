/**
 * Transactions on the rule set, and what other programs change between them. Each transaction of any program adds one to
 * the generation of the rule set. So a change is foreign if the generation is not the one that our last transaction left
 * behind; the kernel's messages tell which tables it concerns.
 */
import type { Nft, NftOutcome } from '../../kernel/libnftables.ts';
import type { NftTableId } from '../../kernel/nftMessage.ts';
import type { NftRuleset } from '../../kernel/nftRuleset.ts';

/** Upper bounds of the times from a change to its being in force. */
export const UPDATE_BOUNDS_SECONDS = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2, 10] as const;

/** What other programs have changed. */
export interface ForeignChanges {
  readonly tables: readonly NftTableId[];
  readonly programs: readonly string[];
  /** False: other tables may have changed too. */
  readonly isWhole: boolean;
}

export class Transactions {
  readonly #nft: Pick<Nft, 'run'>;
  readonly #ruleset: Pick<NftRuleset, 'generation' | 'changes'>;
  readonly #foreign: ForeignChanges[] = [];
  /** Undefined if it could not be read. */
  #generation: number | undefined;

  constructor(nft: Pick<Nft, 'run'>, ruleset: Pick<NftRuleset, 'generation' | 'changes'>) {
    this.#nft = nft;
    this.#ruleset = ruleset;
    this.#generation = this.#read();
    ruleset.changes();
  }

  /** Runs the commands as one transaction. */
  run(commands: string): NftOutcome {
    this.#notice();
    const before = this.#generation;
    const outcome = this.#nft.run(commands);
    const after = this.#read();
    const changes = this.#ruleset.changes();
    this.#generation = after;
    const own = outcome.kind === 'done' ? 1 : 0;
    // Of several transactions it is not known which one was ours.
    if (before === undefined || after !== before + own) this.#foreign.push(changes);
    return outcome;
  }

  /** What other programs have changed since the last call; undefined if nothing. */
  foreignChanges(): ForeignChanges | undefined {
    this.#notice();
    const found = this.#foreign.splice(0);
    if (found.length === 0) return undefined;
    return {
      tables: found.flatMap(({ tables }) => tables),
      programs: [...new Set(found.flatMap(({ programs }) => programs))],
      isWhole: found.every(({ isWhole }) => isWhole),
    };
  }

  #notice(): void {
    const generation = this.#read();
    if (generation !== undefined && generation === this.#generation) return;
    this.#foreign.push(this.#ruleset.changes());
    this.#generation = generation;
  }

  #read(): number | undefined {
    const read = this.#ruleset.generation();
    return read.kind === 'generation' ? read.id : undefined;
  }
}
