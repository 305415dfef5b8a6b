/**
 * registrar/observe/: Follows the engine: which containers run, what each should have in DNS, and which checks pass.
 * Imports: dns, registrar/describe, registrar/engine, registrar/leadership, timing.
 * Used by: app/registrar, registrar.
 *
 * `Containers` holds every running container with its description. An event that ends a container's records takes
 * effect at once. Every other change waits for an inspection, which also restores records that ended by mistake. A
 * container without an inspection has no description, and its stored records stay.
 */
import type { Clock } from '../../timing/clock.ts';
import { parentIdOf } from '../describe/container.ts';
import type { Description, Draining } from '../describe/description.ts';
import { stampedRecordsOf } from '../describe/storedValue.ts';
import { asContainerId, type ContainerId, type ShortId, shortIdOf } from '../engine/containerId.ts';
import type {
  Engine,
  EngineError,
  EngineEvent,
  Inspection,
  ListedContainer,
} from '../engine/engine.ts';
import { precedesLife } from '../engine/instants.ts';
import { ownerId } from '../leadership/identity.ts';
import type { Leadership } from '../leadership/leadership.ts';
import { hasSurvived, nextInspectionInMs } from './ending.ts';
import { applyEvent, isAboutHealth, isDeath, isStart, mayEndRecords } from './eventEffects.ts';
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
  /** Its identity is the owner in the stamps of records. Call `reevaluate` after the identity changed. */
  readonly leadership: Pick<Leadership, 'identity'>;
  readonly describe: (inspection: Inspection, parent: Inspection | undefined) => Description;
  readonly clock: Clock;
  /** Called when desired records may have changed; the session passes its `wake`. */
  readonly onChange: () => void;
  readonly onFailure: (shortId: ShortId, error: EngineError) => void;
}

const INSPECTS_AT_ONCE = 8;
/** Delays of further inspections, for a container without an address and after a failed inspection. */
const RETRY_MS = [200, 1_000, 5_000];
/** Delays of inspections after an event that may arrive before the engine stores the health that it reports. */
const HEALTH_DELAYS_MS = [200, 1_000];
/** Signals that are kept for a container without an inspection. */
const MAX_SIGNALS = 4;

export class Containers {
  readonly #options: ContainersOptions;
  readonly #inspector: Inspector;
  readonly #tracked = new Map<ContainerId, TrackedContainer>();
  readonly #byShortId = new Map<ShortId, TrackedContainer>();
  /** Containers that joined the network of another one. */
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

  /** Whether the engine has answered, or failed to answer, an inspection of every container of the first list. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  all(): Iterable<ContainerState> {
    return this.#tracked.values();
  }

  /** Whether it is known which records the container should have: none if it is absent after the first inspections. */
  isDesiredKnown(shortId: ShortId): boolean {
    const container = this.#byShortId.get(shortId);
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
      this.onSignal({ event, atMs: this.#nowMs() });
      return;
    }
    if (container.inspection !== undefined && !isStale)
      this.#applyEvent(container, container.inspection, event);
    container.retries = 0;
    // No inspection after a death: the event is enough, and Docker answers an inspection only after its clean-up.
    // Inspections of many dead containers would delay those of starting ones.
    const isEventEnough = isDeath(event) && container.inspection !== undefined && !isStale;
    if (mayEndRecords(event)) this.#inspector.invalidate(container.id);
    if (!isEventEnough) this.#inspector.request(container.id);
    if (isAboutHealth(event)) this.#scheduleHealthInspections(container);
  }

  /**
   * Also called for signals that precede the event stream. An inspection does not show a signal, so none is requested.
   */
  onSignal(signal: SentSignal): void {
    const container = this.#track(signal.event.containerId);
    const { inspection } = container;
    if (inspection === undefined)
      container.signals = [...container.signals, signal].slice(-MAX_SIGNALS);
    else if (noteStopSignal(container, inspection, signal)) {
      this.#evaluateWithJoined(container);
      this.#options.onChange();
    }
  }

  /** A list that was requested after the event stream had opened. `all`: inspects every container. */
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

  /** Discards every inspection: each container is unknown until its next one. */
  invalidateAll(): void {
    for (const container of this.#tracked.values()) {
      this.#inspector.invalidate(container.id);
      container.inspection = undefined;
      container.description = undefined;
      container.desired = [];
    }
    this.#options.onChange();
  }

  /** The context of `describe` or the owner has changed. */
  reevaluate(): void {
    for (const container of this.#tracked.values()) this.#evaluate(container);
    this.#options.onChange();
  }

  close(): void {
    this.#inspector.close();
    for (const { timers } of this.#tracked.values()) timers.cancelAll();
  }

  /** Inspects containers that are absent from the list first, because their records may be wrong. */
  #checkAbsent(running: ReadonlySet<ContainerId>): void {
    for (const container of this.#tracked.values()) {
      if (running.has(container.id)) continue;
      if (container.inspection === undefined || hasProcess(container.inspection))
        this.#inspector.request(container.id);
      else if (!hasRecentDeaths(container.deaths, this.#nowMs())) this.#forget(container);
    }
  }

  #track(id: ContainerId): TrackedContainer {
    const known = this.#tracked.get(id);
    if (known !== undefined) return known;
    const container = newTrackedContainer(id, this.#options.clock);
    this.#tracked.set(id, container);
    this.#byShortId.set(shortIdOf(id), container);
    return container;
  }

  #forget(container: TrackedContainer): void {
    container.timers.cancelAll();
    this.#tracked.delete(container.id);
    this.#byShortId.delete(shortIdOf(container.id));
    this.#joined.delete(container);
  }

  /**
   * Whether a network event of the container causes an inspection. Before its start it does not: Docker answers the
   * inspection only after the start, and with many starts at once all inspections would wait.
   */
  #mayRun(id: ContainerId): boolean {
    const container = this.#tracked.get(id);
    return container !== undefined && !container.isDown;
  }

  #applyEvent(container: TrackedContainer, inspection: Inspection, event: EngineEvent): void {
    const changed = applyEvent(inspection, event);
    if (changed === inspection) return;
    container.inspection = changed;
    this.#evaluateWithJoined(container);
    this.#options.onChange();
  }

  #onInspected(id: ContainerId, inspection: Inspection | undefined): void {
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

  /** Inspects the container later, because Podman reports a check before it stores the result. */
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

  #onFailed(id: ContainerId, error: EngineError): void {
    this.#options.onFailure(shortIdOf(id), error);
    this.#retry(this.#track(id));
    this.#checkComplete();
  }

  #retry(container: TrackedContainer): void {
    const delayMs = RETRY_MS[container.retries++];
    // After the last delay the next list causes an inspection.
    if (delayMs !== undefined) {
      container.timers.set('retry', delayMs, () => this.#inspector.request(container.id));
    }
  }

  /** Delays the records of a new life that follows many short ones. */
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
    const owner = ownerId(this.#options.leadership.identity);
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

  /** Ends the draining of a container that survived its stop signal. Until then schedules the next inspection. */
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
    const container = this.#tracked.get(asContainerId(idOrName));
    return container ?? [...this.#tracked.values()].find((each) => hasIdOrName(each, idOrName));
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
