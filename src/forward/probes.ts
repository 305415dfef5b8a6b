/** Copies of real questions to upstreams that are down and due for a sign of life. Nobody waits for the replies. */
import { type AskContext, askUpstream } from './ask.ts';
import type { Ask } from './exchange.ts';
import type { Upstream } from './upstream.ts';

export class Probes {
  readonly #context: AskContext;
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(context: AskContext) {
    this.#context = context;
  }

  /** Sends the question to those of the upstreams that are due. */
  send(ask: Ask, upstreams: readonly Upstream[]): void {
    const { health, clock, totalTimeoutMs } = this.#context;
    const nowMs = clock();
    for (const upstream of upstreams) {
      if (!health.takeProbe(upstream, nowMs)) continue;
      const probing: Promise<unknown> = askUpstream(
        ask,
        upstream,
        nowMs + totalTimeoutMs,
        this.#context,
      ).finally(() => this.#underWay.delete(probing));
      this.#underWay.add(probing);
    }
  }

  /** Settles when none of now is under way. */
  async ended(): Promise<void> {
    await Promise.allSettled(this.#underWay);
  }
}
