/** What a server measures, gathered from its parts at the moment that somebody asks. */
import type { UdpListener } from '../dataplane/udpListener.ts';
import type { MetricsSources } from '../metrics/all.ts';
import type { AnswerCounters } from '../server/answerCounters.ts';
import type { TcpListener } from '../server/tcp.ts';
import { systemClock } from '../store/clock.ts';
import type { Mirror } from '../store/mirror.ts';
import type { Catalog } from '../zone/catalog.ts';
import type { Effective } from './effective.ts';
import type { ProcessProbe } from './processFigures.ts';
import type { PublishedAnswers } from './publishedAnswers.ts';
import type { ServerRegistrar } from './serverRegistrar.ts';

export interface MeasuredParts {
  readonly catalog: Catalog;
  readonly effective: Effective;
  readonly answers: PublishedAnswers;
  readonly mirror: Mirror;
  readonly udp: UdpListener;
  readonly tcp: TcpListener;
  readonly measured: Measured;
}

/** What is counted for metrics alone. */
export interface Measured {
  readonly answers: AnswerCounters;
  readonly process: ProcessProbe;
  invalidValues: number;
}

export function metricsOf(
  parts: MeasuredParts,
  registrar: ServerRegistrar | undefined,
): MetricsSources {
  const { catalog, effective, mirror, udp, tcp, measured } = parts;
  const fast = udp.blocks.map((counted) => ({ transport: 'udp' as const, ...counted }));
  const answers = [...measured.answers.blocks, ...fast];
  return {
    process: measured.process.figures(effective.reloads),
    dns: { answers, tcp: tcp.counters() },
    table: parts.answers.figures,
    store: {
      state: mirror.state(),
      counters: mirror.counters(),
      services: catalog.size,
      invalid: catalog.invalid.size,
      invalidTold: measured.invalidValues,
      nowMs: systemClock.monotonicMs(),
      unixSeconds: Date.now() / 1000,
    },
    forward: effective.forwardCounters,
    registrar: registrar?.status(),
  };
}
