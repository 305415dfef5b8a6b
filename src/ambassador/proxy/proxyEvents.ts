/**
 * What a proxy reports to the log. An event that any client can cause comes once a minute for each subject, so that
 * neither a flood of connections nor a backend that is down floods the log.
 */
import type { Clock } from '../../timing/clock.ts';
import type { ForbiddenAddress } from './addressPolicy.ts';
import type { Destination } from './destination.ts';

export type ProxyEvent =
  /** The route has no backend; its connections are refused until `served`. */
  | { readonly kind: 'unserved'; readonly route: string; readonly reason: string | undefined }
  /** The route has backends again. */
  | { readonly kind: 'served'; readonly route: string }
  /** No backend took the connection. */
  | (Repeated & {
      readonly kind: 'unreachable';
      readonly route: string;
      /** The backends that were tried, each as `ADDRESS:PORT REASON`. */
      readonly tried: readonly string[];
    })
  /** A record or another server leads the route to an address that a proxy does not connect to. */
  | (Repeated & {
      readonly kind: 'forbidden';
      readonly route: string;
      readonly backend: string;
      readonly why: Forbidden;
    })
  /** Connections were reset because a limit was reached. `source`: the client's address. */
  | (Repeated & {
      readonly kind: 'limited';
      readonly limit: 'connections' | 'connectionsPerSource';
      readonly source: string;
    })
  /** The system could not accept a connection, for example because no descriptor is free. */
  | (Repeated & { readonly kind: 'acceptFailed'; readonly listen: string; readonly code: string });

/** How often it has happened since the last event of this kind about this subject. */
interface Repeated {
  readonly times: number;
}

/** `ownListener`: the backend is a listener of this proxy, and the connection would come back. */
export type Forbidden = ForbiddenAddress | 'ownListener';

const PAUSE_MS = 60_000;
/** The events of further subjects come too early rather than that the memory grows. */
const MAX_SUBJECTS = 4_096;

interface Subject {
  quietUntilMs: number;
  times: number;
}

export class ProxyReporter {
  readonly #clock: Clock;
  readonly #onEvent: (event: ProxyEvent) => void;
  readonly #subjects = new Map<string, Subject>();
  /** The routes without a backend. */
  readonly #unserved = new Set<string>();

  constructor(clock: Clock, onEvent: (event: ProxyEvent) => void) {
    this.#clock = clock;
    this.#onEvent = onEvent;
  }

  /** Reports each change of whether the route has a backend; at first it counts as having one. */
  noteServed(route: string, isServed: boolean, reason?: string): void {
    if (isServed) {
      if (this.#unserved.delete(route)) this.#onEvent({ kind: 'served', route });
    } else if (!this.#unserved.has(route) && this.#unserved.size < MAX_SUBJECTS) {
      this.#unserved.add(route);
      this.#onEvent({ kind: 'unserved', route, reason });
    }
  }

  /** The route has ended. */
  forget(route: string): void {
    this.#unserved.delete(route);
  }

  noteDestinations(destinations: readonly Destination[]): void {
    for (const { label, backends } of destinations)
      if (backends.kind === 'known')
        this.noteServed(label, backends.backends.length > 0, backends.reason);
  }

  /** `tried`: the backends, each with the reason. */
  noteUnreachable(route: string, tried: ReadonlyMap<string, string>): void {
    this.#repeat(`unreachable ${route}`, (times) => {
      const reasons = [...tried].map(([backend, reason]) => `${backend} ${reason}`);
      return { kind: 'unreachable', route, tried: reasons, times };
    });
  }

  noteForbidden(route: string, backend: string, why: Forbidden): void {
    this.#repeat(`forbidden ${route} ${backend}`, (times) => {
      return { kind: 'forbidden', route, backend, why, times };
    });
  }

  noteLimit(limit: 'connections' | 'connectionsPerSource', source: string): void {
    const subject = limit === 'connections' ? limit : `${limit} ${source}`;
    this.#repeat(subject, (times) => ({ kind: 'limited', limit, source, times }));
  }

  noteAcceptFailure(listen: string, code: string): void {
    this.#repeat(`accept ${listen}`, (times) => ({ kind: 'acceptFailed', listen, code, times }));
  }

  #repeat(key: string, eventOf: (times: number) => ProxyEvent): void {
    const nowMs = this.#clock.monotonicMs();
    const subject = this.#subjects.get(key) ?? { quietUntilMs: nowMs, times: 0 };
    subject.times += 1;
    if (nowMs < subject.quietUntilMs) return;
    const { times } = subject;
    subject.times = 0;
    subject.quietUntilMs = nowMs + PAUSE_MS;
    this.#subjects.delete(key); // to the end: the first ones have been quiet longest
    this.#subjects.set(key, subject);
    for (const [first] of this.#subjects) {
      if (this.#subjects.size <= MAX_SUBJECTS) break;
      this.#subjects.delete(first);
    }
    this.#onEvent(eventOf(times));
  }
}
