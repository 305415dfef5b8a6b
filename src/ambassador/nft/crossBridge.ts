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

/** Where our rule is: Docker 20 has no DOCKER-USER for IPv6. */
type RuleChain = 'DOCKER-USER' | 'FORWARD';

const CHAIN = 'DOCKER-USER';
const CHAINS: readonly RuleChain[] = [CHAIN, 'FORWARD'];
const DOCKERS_JUMP = /^-A FORWARD -j DOCKER-\S+$/m;
const COMMENT = 'soradns';
const OUR_COMMENT = new RegExp(`--comment "?${COMMENT}"?( |$)`);
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
  readonly #family: 4 | 6;

  constructor(family: 4 | 6) {
    this.#family = family;
  }

  async ensure(): Promise<CrossBridgeState> {
    const { program, chain, state } = await this.#find();
    if (program === undefined || chain === undefined) return state;
    const rule = chain === CHAIN ? await this.#ensureRule(program) : 'present';
    const order = await this.#ensureOrder(program, chain);
    if (rule === undefined || order === undefined) return 'noProgram';
    return rule === 'present' && order === 'present' ? 'present' : 'added';
  }

  /** Undefined if the rules may not be changed. */
  async #ensureRule(program: string): Promise<'present' | 'added' | undefined> {
    if (isDone(await run(program, ['-C', CHAIN, ...RULE]))) return 'present';
    return isDone(await run(program, ['-I', CHAIN, ...RULE])) ? 'added' : undefined;
  }

  /**
   * Docker puts its isolation before DOCKER-USER when it starts and finds networks with containers (live-restore), and
   * mends that only when a network is made. Before our own rule in FORWARD it puts its chains each time.
   */
  async #ensureOrder(program: string, chain: RuleChain): Promise<'present' | 'added' | undefined> {
    const listed = await run(program, ['-S', 'FORWARD']);
    const commands = listed?.code === 0 ? reorderingOf(listed.text, chain) : undefined;
    if (commands === undefined) return 'present';
    const input = `*filter\n${commands.join('\n')}\nCOMMIT\n`;
    const restored = await run(`${program}-restore`, ['--noflush'], input);
    return isDone(restored) ? 'added' : undefined;
  }

  async remove(): Promise<void> {
    await removeCrossBridgeRules(this.#family);
  }

  /** The program that has Docker's chains and where our rule belongs, or why there is none. */
  async #find(): Promise<{ program?: string; chain?: RuleChain; state: CrossBridgeState }> {
    let state: CrossBridgeState = 'noProgram';
    for (const program of programsOf(this.#family)) {
      const code = (await run(program, ['-n', '-L', CHAIN]))?.code;
      if (code === 0) return { program, chain: CHAIN, state: 'present' };
      if (code !== ABSENT) continue;
      state = 'noChain';
      const listed = await run(program, ['-S', 'FORWARD']);
      if (listed?.code === 0 && DOCKERS_JUMP.test(listed.text))
        return { program, chain: 'FORWARD', state: 'present' };
    }
    return { state };
  }
}

/** Removes our rule of a family, by whatever process and however often it was written; returns how often. */
export async function removeCrossBridgeRules(family: 4 | 6): Promise<number> {
  let count = 0;
  for (const program of programsOf(family))
    for (const chain of CHAINS) while (isDone(await run(program, ['-D', chain, ...RULE]))) count++;
  return count;
}

function programsOf(family: 4 | 6): readonly string[] {
  return VARIANTS.map((variant) => `${family === 6 ? 'ip6tables' : 'iptables'}${variant}`);
}

/**
 * The commands that bring the jump to DOCKER-USER, or our rule in FORWARD, before Docker's other chains; undefined if it
 * is there. Exported for tests.
 */
export function reorderingOf(
  forwardRules: string,
  chain: RuleChain,
): readonly string[] | undefined {
  const lines = forwardRules.split('\n').map((line) => line.trim());
  const isOurs = (line: string): boolean =>
    chain === CHAIN ? line === `-A FORWARD -j ${CHAIN}` : OUR_COMMENT.test(line);
  const at = lines.findIndex(isOurs);
  const first = lines.findIndex((line) => DOCKERS_JUMP.test(line) && !isOurs(line));
  if (first < 0 || (at >= 0 && at < first)) return undefined;
  const rule = `FORWARD ${chain === CHAIN ? `-j ${CHAIN}` : RULE.join(' ')}`;
  return [...(at < 0 ? [] : [`-D ${rule}`]), `-I ${rule}`];
}

interface Ran {
  readonly code: number;
  readonly text: string;
}

function isDone(ran: Ran | undefined): boolean {
  return ran?.code === 0;
}

/** The exit code and the output; undefined if the program did not run, or did not end in time. */
function run(program: string, args: readonly string[], input?: string): Promise<Ran | undefined> {
  return new Promise((resolve) => {
    // -w: another program may hold the lock of iptables.
    const line = ['-w', '5', ...args];
    const child = execFile(program, line, { timeout: TIMEOUT_MS }, (error, text) => {
      if (error === null) resolve({ code: 0, text });
      else resolve(typeof error.code === 'number' ? { code: error.code, text } : undefined);
    });
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });
}
