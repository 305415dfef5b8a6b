/**
 * registrar/observe/: What is known of the containers and of this host, from events, inspections and checks.
 * Imports: dns, registrar/describe, registrar/engine, registrar/leadership, registrar/reconcile, timing.
 * Used by: app/registrar, registrar.
 *
 * Every container that runs, and what it should have in DNS by now.
 *
 * An event that takes a container out of DNS counts at once; everything else waits for an inspection, which also
 * corrects what an event said too much. Of a container that could not be inspected yet nothing is known, and what is
 * stored for it stays.
 */
import type { Clock } from '../../timing/clock.ts';
import { parentIdOf } from '../describe/container.ts';
import type { Description, Draining } from '../describe/description.ts';
import type {
  Engine,
  EngineError,
  EngineEvent,
  Inspection,
  ListedContainer,
} from '../engine/engine.ts';
import { precedesLife } from '../engine/instants.ts';
import { shortId } from '../engine/responses.ts';
import { stampedRecordsOf } from '../reconcile/claims.ts';
import { hasSurvived, nextInspectionInMs } from './ending.ts';
import { applyEvent, isAboutHealth, isDeath, isStart, mayWithdraw } from './eventEffects.ts';
import { Inspector } from './inspector.ts';
import {
  addDeath,
  type ContainerState,
  hasIdOrName,
  hasProcess,
  hasRecentDeaths,
  healthStatusOf,
  isWaiting,
  mustInspectListed,
  newTrackedContainer,
  noteLife,
  noteStopSignal,
  type SentSignal,
  type TrackedContainer,
  whyWithheld,
} from './trackedContainer.ts';

export interface ContainersOptions {
  readonly engine: Pick<Engine, 'inspect'>;
  /** The mark of the records' owner now; call `reevaluate` when it is another one. */
  readonly ownerId: () => string;
  readonly describe: (inspection: Inspection, parent: Inspection | undefined) => Description;
  readonly clock: Clock;
  /** What should be in DNS may have changed. */
  readonly onChange: () => void;
  readonly onFailure: (containerId: string, error: EngineError) => void;
}

const INSPECTS_AT_ONCE = 8;
/** Between looks at a container that has no address yet, or that could not be inspected. */
const RETRY_MS = [200, 1_000, 5_000];
/** After an event that may have come before the health that it is about. */
const HEALTH_DELAYS_MS = [200, 1_000];
/** Of a container that is not inspected yet. */
const MAX_SIGNALS = 4;

export class Containers {
  readonly #options: ContainersOptions;
  readonly #inspector: Inspector;
  readonly #tracked = new Map<string, TrackedContainer>();
  readonly #byShortId = new Map<string, TrackedContainer>();
  /** Those that have joined another's network. */
  readonly #joined = new Set<TrackedContainer>();
  #isListed = false;
  #isComplete = false;

  constructor(options: ContainersOptions) {
    this.#options = options;
    this.#inspector = new Inspector({
      engine: options.engine,
      clock: options.clock,
      concurrency: INSPECTS_AT_ONCE,
      onResult: (id, inspection) => this.#onInspected(id, inspection),
      onFailure: (id, error) => this.#onFailed(id, error),
    });
  }

  /** Whether all that ran at the start has been looked at. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  all(): Iterable<ContainerState> {
    return this.#tracked.values();
  }

  /** Whether it is known what that container (first 12 digits of its id) should have; nothing, if there is none. */
  isDesiredKnown(containerId: string): boolean {
    const container = this.#byShortId.get(containerId);
    return container === undefined ? this.#isComplete : container.description !== undefined;
  }

  onEvent(event: EngineEvent): void {
    if (event.type === 'network' && !this.#mayRun(event.containerId)) return;
    const hasNoHealth = healthStatusOf(this.#tracked.get(event.containerId)) === '';
    if (event.action === 'exec_died' && hasNoHealth) return;
    const container = this.#track(event.containerId);
    const isStale = container.inspection !== undefined && precedesLife(event, container.inspection);
    if (isStart(event)) container.isDown = false;
    if (isDeath(event)) {
      container.deaths = addDeath(container.deaths, this.#nowMs());
      if (!isStale) {
        container.isDeathCounted = true;
        container.isDown = true;
      }
    }
    if (event.action === 'kill') {
      this.#onSignal(container, { event, atMs: this.#nowMs() });
      return;
    }
    if (container.inspection !== undefined && !isStale)
      this.#applyEvent(container, container.inspection, event);
    container.retries = 0;
    // A death says all, and Docker answers no inspection before it has cleaned up: with many at once starts would wait.
    const isSettled = isDeath(event) && container.inspection !== undefined && !isStale;
    if (mayWithdraw(event)) this.#inspector.invalidate(container.id);
    if (!isSettled) this.#inspector.request(container.id);
    if (isAboutHealth(event)) this.#scheduleHealthInspections(container);
  }

  /** A signal from before we listened. */
  onSignal(signal: SentSignal): void {
    this.#onSignal(this.#track(signal.event.containerId), signal);
  }

  /**
   * Whether its networks matter. Those of one that is about to start do not yet, and Docker answers no inspection of it
   * until it has started: with many at once all inspections would wait for these.
   */
  #mayRun(id: string): boolean {
    const container = this.#tracked.get(id);
    return container !== undefined && !container.isDown;
  }

  /** A list of what runs, asked for after the event stream was opened. `all`: trust nothing that was seen before. */
  onList(list: readonly ListedContainer[], { all }: { readonly all: boolean }): void {
    this.#checkAbsent(new Set(list.map(({ id }) => id)));
    for (const listed of list) {
      const { id, fingerprint } = listed;
      const container = this.#track(id);
      const mustInspect =
        all || container.fingerprint !== fingerprint || mustInspectListed(container, listed);
      container.fingerprint = fingerprint;
      if (mustInspect) this.#inspector.request(id);
    }
    this.#isListed = true;
    this.#checkComplete();
  }

  /** Nothing that was seen is believed any more: each is unknown until it is inspected again. */
  invalidateAll(): void {
    for (const container of this.#tracked.values()) {
      this.#inspector.invalidate(container.id);
      container.inspection = undefined;
      container.description = undefined;
      container.desired = [];
    }
    this.#options.onChange();
  }

  /** What `describe` depends on besides the container has changed. */
  reevaluate(): void {
    for (const container of this.#tracked.values()) this.#evaluate(container);
    this.#options.onChange();
  }

  close(): void {
    this.#inspector.close();
    for (const { timers } of this.#tracked.values()) timers.cancelAll();
  }

  /** Before all that runs, however much that is: what is gone must not be answered for. */
  #checkAbsent(running: ReadonlySet<string>): void {
    for (const container of this.#tracked.values()) {
      if (running.has(container.id)) continue;
      if (container.inspection === undefined || hasProcess(container.inspection))
        this.#inspector.request(container.id);
      else if (!hasRecentDeaths(container.deaths, this.#nowMs())) this.#forget(container);
    }
  }

  #track(id: string): TrackedContainer {
    const known = this.#tracked.get(id);
    if (known !== undefined) return known;
    const container = newTrackedContainer(id, this.#options.clock);
    this.#tracked.set(id, container);
    this.#byShortId.set(shortId(id), container);
    return container;
  }

  #forget(container: TrackedContainer): void {
    container.timers.cancelAll();
    this.#tracked.delete(container.id);
    this.#byShortId.delete(shortId(container.id));
    this.#joined.delete(container);
  }

  #applyEvent(container: TrackedContainer, inspection: Inspection, event: EngineEvent): void {
    const foreseen = applyEvent(inspection, event);
    if (foreseen === inspection) return;
    container.inspection = foreseen;
    this.#evaluateWithJoined(container);
    this.#options.onChange();
  }

  /** Needs no inspection: a signal by itself changes nothing that could be seen. */
  #onSignal(container: TrackedContainer, signal: SentSignal): void {
    const { inspection } = container;
    if (inspection === undefined)
      container.signals = [...container.signals, signal].slice(-MAX_SIGNALS);
    else if (noteStopSignal(container, inspection, signal)) {
      this.#evaluateWithJoined(container);
      this.#options.onChange();
    }
  }

  #onInspected(id: string, inspection: Inspection | undefined): void {
    const container = this.#track(id);
    const isOver = inspection !== undefined && !hasProcess(inspection);
    if (inspection === undefined || (isOver && !hasRecentDeaths(container.deaths, this.#nowMs()))) {
      this.#forget(container);
      this.#evaluateJoined(container);
    } else {
      container.inspection = inspection;
      this.#noteLife(container, inspection);
      for (const signal of container.signals) noteStopSignal(container, inspection, signal);
      container.signals = [];
      this.#noteParent(container, inspection);
      this.#evaluateWithJoined(container);
      if (container.description === undefined || !isWaiting(container.description))
        container.retries = 0;
      else this.#retry(container);
    }
    this.#checkComplete();
    this.#options.onChange();
  }

  /** Podman tells of a check before it has stored the result. */
  #scheduleHealthInspections(
    container: TrackedContainer,
    [delayMs, ...later]: readonly number[] = HEALTH_DELAYS_MS,
  ): void {
    if (delayMs === undefined) return;
    container.timers.set('health', delayMs, () => {
      this.#inspector.request(container.id);
      this.#scheduleHealthInspections(container, later);
    });
  }

  #onFailed(id: string, error: EngineError): void {
    this.#options.onFailure(id, error);
    this.#retry(this.#track(id));
    this.#checkComplete();
  }

  #retry(container: TrackedContainer): void {
    const delayMs = RETRY_MS[container.retries++];
    // After the last one the next list looks at it again.
    if (delayMs !== undefined) {
      container.timers.set('retry', delayMs, () => this.#inspector.request(container.id));
    }
  }

  /** A new life that follows many short ones is not published at once. */
  #noteLife(container: TrackedContainer, inspection: Inspection): void {
    const nowMs = this.#nowMs();
    if (!noteLife(container, inspection, nowMs) || container.heldUntilMs <= nowMs) return;
    container.timers.set('held', container.heldUntilMs - nowMs, () => {
      this.#evaluate(container);
      this.#options.onChange();
    });
  }

  #noteParent(container: TrackedContainer, inspection: Inspection): void {
    container.parentId = parentIdOf(inspection);
    if (container.parentId === undefined) this.#joined.delete(container);
    else this.#joined.add(container);
  }

  #evaluateWithJoined(container: TrackedContainer): void {
    this.#evaluate(container);
    this.#evaluateJoined(container);
  }

  #evaluateJoined(parent: TrackedContainer): void {
    for (const child of this.#joined)
      if (hasIdOrName(parent, child.parentId)) this.#evaluate(child);
  }

  #evaluate(container: TrackedContainer): void {
    const { inspection, parentId } = container;
    const parent = parentId === undefined ? undefined : this.#find(parentId);
    const isKnown = inspection !== undefined && (parent === undefined || parent.inspection);
    container.description = isKnown
      ? this.#describe(container, inspection, parent?.inspection)
      : undefined;
    const owner = this.#options.ownerId();
    container.desired = inspection ? stampedRecordsOf(container, inspection, owner) : [];
  }

  #describe(
    container: TrackedContainer,
    inspection: Inspection,
    parent: Inspection | undefined,
  ): Description {
    const description = this.#options.describe(inspection, parent);
    if (description.kind !== 'described') return description;
    if (description.stop === 'drain')
      this.#watchEnding(container, inspection, description.draining);
    const reason = whyWithheld(container, inspection, description, this.#nowMs());
    return reason === undefined ? description : { kind: 'ignored', reason };
  }

  /** Ends the draining of a container that survived its stop signal; schedules an inspection of one that may yet. */
  #watchEnding(container: TrackedContainer, inspection: Inspection, draining: Draining): void {
    const { ending, timers } = container;
    if (ending === undefined) return;
    const nowMs = this.#nowMs();
    if (hasSurvived(ending, draining, inspection, nowMs)) {
      container.ending = undefined;
      return;
    }
    const delayMs = nextInspectionInMs(ending, draining, inspection, nowMs);
    if (delayMs !== undefined && !timers.has('ending'))
      timers.set('ending', delayMs, () => this.#inspector.request(container.id));
  }

  #find(idOrName: string): TrackedContainer | undefined {
    const container = this.#tracked.get(idOrName);
    if (container !== undefined) return container;
    for (const each of this.#tracked.values()) if (hasIdOrName(each, idOrName)) return each;
    return undefined;
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }

  #checkComplete(): void {
    if (this.#isComplete || !this.#isListed || this.#inspector.pending > 0) return;
    this.#isComplete = true;
    this.#options.onChange();
  }
}
