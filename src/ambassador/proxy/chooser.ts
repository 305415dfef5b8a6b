/**
 * Chooses the backend of a connection or flow among those that the proxy may connect to. A route's backends are judged
 * once per set, not once per connection.
 */
import { printSocketAddress } from '../../dns/address.ts';
import { type Balance, backendsToTry, MAX_TRIES } from '../choice.ts';
import type { Backend, BackendSet } from '../route.ts';
import type { ForbiddenAddress } from './addressPolicy.ts';
import type { Destination } from './destination.ts';
import type { ProxyCounters } from './proxyCounters.ts';
import type { Forbidden, ProxyReporter } from './proxyEvents.ts';

export interface ChooserOptions {
  readonly balance: Balance;
  readonly random: () => number;
  readonly whyForbidden: (address: string) => ForbiddenAddress | undefined;
  /** Whether a listener of this proxy is at the address and port. */
  readonly isOwnListener: (address: string, port: number) => boolean;
  readonly reporter: ProxyReporter;
  readonly counters: ProxyCounters;
}

export type Chosen =
  | { readonly kind: 'backend'; readonly backend: Backend }
  | { readonly kind: 'none'; readonly why: 'unknown' | 'noBackend' | 'forbidden' | 'unreachable' };

interface Judged {
  readonly permitted: readonly Backend[];
  readonly forbidden: readonly { readonly backend: string; readonly why: Forbidden }[];
}

export class Chooser {
  readonly #options: ChooserOptions;
  #judged = new WeakMap<BackendSet, Judged>();

  constructor(options: ChooserOptions) {
    this.#options = options;
  }

  /** `tried`: the backends that did not take this connection or flow, as `printSocketAddress` prints them. */
  choose(destination: Destination, source: string, tried: ReadonlyMap<string, string>): Chosen {
    const { backends: set, label } = destination;
    const { reporter, counters } = this.#options;
    if (set.kind === 'waits') return { kind: 'none', why: 'unknown' };
    reporter.noteServed(label, set.backends.length > 0, set.reason);
    if (set.backends.length === 0) return { kind: 'none', why: 'noBackend' };
    const { permitted, forbidden } = this.#judge(destination, set);
    if (forbidden.length > 0 && tried.size === 0) {
      counters.forbiddenBackends += 1;
      for (const { backend, why } of forbidden.slice(0, MAX_TRIES))
        reporter.noteForbidden(label, backend, why);
    }
    if (permitted.length === 0) return { kind: 'none', why: 'forbidden' };
    const untried =
      tried.size === 0
        ? permitted
        : permitted.filter((backend) => !tried.has(printSocketAddress(backend)));
    const { balance, random } = this.#options;
    const [backend] =
      tried.size < MAX_TRIES ? backendsToTry(untried, { balance, source, random }) : [];
    return backend === undefined
      ? { kind: 'none', why: 'unreachable' }
      : { kind: 'backend', backend };
  }

  /** All backends of a destination if it may be left to others to choose among them; undefined if not. */
  freeChoice(destination: Destination): readonly Backend[] | undefined {
    const { backends: set } = destination;
    if (set.kind === 'waits' || set.backends.length === 0) return undefined;
    return this.#judge(destination, set).forbidden.length === 0 ? set.backends : undefined;
  }

  /** The proxy's listeners have changed. */
  judgeAnew(): void {
    this.#judged = new WeakMap();
  }

  #judge({ isStatic }: Destination, set: Extract<BackendSet, { kind: 'known' }>): Judged {
    const known = this.#judged.get(set);
    if (known !== undefined) return known;
    const permitted: Backend[] = [];
    const forbidden: { backend: string; why: Forbidden }[] = [];
    for (const backend of set.backends) {
      const why = this.#whyNot(backend, isStatic);
      if (why === undefined) permitted.push(backend);
      else forbidden.push({ backend: printSocketAddress(backend), why });
    }
    const judged = { permitted, forbidden };
    this.#judged.set(set, judged);
    return judged;
  }

  #whyNot({ address, port }: Backend, isStatic: boolean): Forbidden | undefined {
    const { whyForbidden, isOwnListener } = this.#options;
    if (isOwnListener(address, port)) return 'ownListener';
    return isStatic ? undefined : whyForbidden(address);
  }
}
