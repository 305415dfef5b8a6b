/**
 * Runs the checks of desired records, each at its own interval. A record with a check is stored only while the check
 * passes. Records of one container with the same target share a check. A container's checks start anew with each life.
 */
import type { Clock, Timer } from '../../timing/clock.ts';
import type { Check } from '../describe/description.ts';
import type { StampedRecord } from '../describe/storedValue.ts';
import type { ContainerId } from '../engine/containerId.ts';
import { ProbeScheduler } from './probeScheduler.ts';

export interface ProbeTarget {
  readonly check: Check;
  /** An IP address. */
  readonly host: string;
  readonly port: number;
}

/** Resolves to whether the probe passes within the check's timeout. Never rejects. */
export type Probe = (target: ProbeTarget, signal: AbortSignal) => Promise<boolean>;

/** By the last result; `unknown` before the first. */
export type CheckState = 'unknown' | 'passing' | 'failing';

interface RunningCheck {
  readonly containerId: ContainerId;
  /** `undefined` before the first result. */
  isPassing: boolean | undefined;
  readonly abort: AbortController;
  timer: Timer | undefined;
}

export interface ChecksOptions {
  readonly probe: Probe;
  readonly clock: Clock;
  readonly onChange: () => void;
}

export class Checks {
  readonly #options: ChecksOptions;
  readonly #running = new Map<string, RunningCheck>();
  readonly #scheduler: ProbeScheduler;

  constructor(options: ChecksOptions) {
    this.#options = options;
    this.#scheduler = new ProbeScheduler({ clock: options.clock });
  }

  /**
   * Starts and ends checks so that exactly the checks of `desired` run. Returns the state of the check of each record
   * that has one.
   */
  run(desired: readonly StampedRecord[]): ReadonlyMap<StampedRecord, CheckState> {
    const wanted = new Set<string>();
    const states = new Map<StampedRecord, CheckState>();
    for (const stamped of desired) {
      const target = probeTargetOf(stamped);
      if (target === undefined) continue;
      const id = checkIdOf(stamped, target);
      wanted.add(id);
      const running = this.#running.get(id) ?? this.#start(id, stamped.containerId, target);
      states.set(stamped, asState(running));
    }
    for (const [id, running] of this.#running) if (!wanted.has(id)) this.#end(id, running);
    return states;
  }

  /** The state of the record's check; `undefined` without a check. */
  stateOf(stamped: StampedRecord): CheckState | undefined {
    const target = probeTargetOf(stamped);
    if (target === undefined) return undefined;
    return asState(this.#running.get(checkIdOf(stamped, target)));
  }

  close(): void {
    for (const [id, running] of this.#running) this.#end(id, running);
  }

  #start(id: string, containerId: ContainerId, target: ProbeTarget): RunningCheck {
    const running: RunningCheck = {
      containerId,
      isPassing: undefined,
      abort: new AbortController(),
      timer: undefined,
    };
    this.#running.set(id, running);
    void this.#probe(target, running);
    return running;
  }

  async #probe(target: ProbeTarget, running: RunningCheck): Promise<void> {
    const { probe, clock, onChange } = this.#options;
    const { signal } = running.abort;
    const isPassing = await this.#scheduler.run(running.containerId, signal, () =>
      probe(target, signal),
    );
    if (signal.aborted) return;
    const isChanged = running.isPassing !== isPassing;
    running.isPassing = isPassing;
    running.timer = clock.startTimer(
      target.check.intervalMs,
      () => void this.#probe(target, running),
    );
    if (isChanged) onChange();
  }

  #end(id: string, running: RunningCheck): void {
    running.abort.abort();
    running.timer?.cancel();
    this.#running.delete(id);
  }
}

function asState(running: RunningCheck | undefined): CheckState {
  if (running?.isPassing === undefined) return 'unknown';
  return running.isPassing ? 'passing' : 'failing';
}

function probeTargetOf({ record: { check, fields } }: StampedRecord): ProbeTarget | undefined {
  return check === undefined || fields.port === undefined
    ? undefined
    : { check, host: fields.host, port: fields.port };
}

function checkIdOf({ containerId, owner }: StampedRecord, target: ProbeTarget): string {
  return `${containerId} ${owner.startedAt} ${JSON.stringify(target)}`;
}
