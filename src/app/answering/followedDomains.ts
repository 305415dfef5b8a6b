/** Follows the stub zones and the delegated names in the store, and gives them to the live configuration. */
import { printSocketAddress } from '../../dns/address.ts';
import { printName } from '../../dns/name.ts';
import type { Log } from '../../observability/log.ts';
import { keyOfName } from '../../service/key.ts';
import { type InvalidStub, stubZonesOf } from '../../zone/tree/stubZones.ts';
import type { Node } from '../../zone/tree/tree.ts';
import { cutProblem, DelegatedNames } from '../../zone/zoneCuts.ts';
import type { LiveConfig } from './liveConfig.ts';

export interface FollowedDomainsOptions {
  readonly root: Node;
  /** Of the names' keys, as `keyPrefix` returns it. */
  readonly prefix: string;
  readonly liveConfig: LiveConfig;
  readonly log: Log;
}

export class FollowedDomains {
  readonly #options: FollowedDomainsOptions;
  readonly #delegated = new DelegatedNames();
  #isLoaded = false;
  #isRefreshing = false;
  #logged = '';
  /** Keys and reasons that were logged. */
  #reported: ReadonlySet<string> = new Set();
  #cutProblems: ReadonlySet<string> = new Set();

  constructor(options: FollowedDomainsOptions) {
    this.#options = options;
    // The domains may have changed, or the option.
    options.liveConfig.onChanged(() => this.#refresh());
  }

  /** Call this when the store has been read completely, before the first answer from it. */
  onLoaded(): void {
    this.#isLoaded = true;
    this.#refresh();
  }

  /** Call this after each set of changes was applied, with the nodes of their owner names. */
  onApplied(nodes: readonly Node[]): void {
    const isOtherCut = this.#delegated.apply(nodes);
    const hasStubs = this.#options.liveConfig.config.stubZones && nodes.some(isBelowStubs);
    if (isOtherCut || hasStubs) this.#refresh();
  }

  #refresh(): void {
    // A change of the stub zones is a change of the live configuration.
    if (!this.#isLoaded || this.#isRefreshing) return;
    this.#isRefreshing = true;
    try {
      this.#refreshStubZones();
      this.#refreshCuts();
    } finally {
      this.#isRefreshing = false;
    }
  }

  #refreshStubZones(): void {
    const { root, liveConfig, log } = this.#options;
    const { stubZones, domains } = liveConfig.config;
    const found = stubZones ? stubZonesOf(root, domains) : NO_STUB_ZONES;
    this.#report(found.invalid);
    liveConfig.setStubZones(found.zones);
    const zones = found.zones.map(({ name, servers }) =>
      [printName(name), ...servers.map(printSocketAddress)].join(' '),
    );
    const text = zones.join('\n');
    if (text !== this.#logged) log.info({ zones }, 'the stub zones have changed');
    this.#logged = text;
  }

  #refreshCuts(): void {
    const { liveConfig, log } = this.#options;
    const cuts = this.#delegated.cuts();
    liveConfig.setCuts(cuts);
    const problems = new Set<string>();
    for (const { name } of cuts) {
      const problem = cutProblem(name, liveConfig.config.domains);
      if (problem?.kind !== 'without effect') continue;
      const line = `${printName(name)}: ${problem.reason}`;
      problems.add(line);
      if (!this.#cutProblems.has(line)) log.warn({}, `the NS records have no effect: ${line}`);
    }
    this.#cutProblems = problems;
  }

  #report(invalid: readonly InvalidStub[]): void {
    const reported = new Set<string>();
    for (const { node, registration, reason } of invalid) {
      const key = registration.key ?? keyOfName(node.owner(), this.#options.prefix) ?? '';
      const line = `${key} ${reason}`;
      reported.add(line);
      if (!this.#reported.has(line)) this.#options.log.warn({ key, reason }, 'stub zone skipped');
    }
    this.#reported = reported;
  }
}

const NO_STUB_ZONES: ReturnType<typeof stubZonesOf> = { zones: [], invalid: [] };

function isBelowStubs(node: Node): boolean {
  for (let at: Node | undefined = node; at !== undefined; at = at.parent)
    if (at.label === 'stub' && at.parent?.label === 'dns') return true;
  return false;
}
