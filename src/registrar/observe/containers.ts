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
import type { Engine, EngineError, EngineEvent, Inspection, Listed } from '../engine/engine.ts';
import { isOlder, shortId } from '../engine/responses.ts';
import { wishesOf } from '../reconcile/claims.ts';
import { hasSurvived, nextLookInMs, whyEnding } from './ending.ts';
import { Inspector } from './inspector.ts';
import {
  addDeath,
  anticipate,
  beginLife,
  endsWith,
  healthOf,
  isAboutHealth,
  isAlive,
  isDeath,
  isForgotten,
  isNamed,
  isStart,
  isWaiting,
  newSlot,
  type Signal,
  type Slot,
  type Tracked,
  takesOut,
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
  readonly #slots = new Map<string, Slot>();
  readonly #byShortId = new Map<string, Slot>();
  /** Those that have joined another's network. */
  readonly #joined = new Set<Slot>();
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

  all(): Iterable<Tracked> {
    return this.#slots.values();
  }

  /** Whether it is known what that container (first 12 digits of its id) should have; nothing, if there is none. */
  isKnown(containerId: string): boolean {
    const slot = this.#byShortId.get(containerId);
    return slot === undefined ? this.#isComplete : slot.description !== undefined;
  }

  onEvent(event: EngineEvent): void {
    if (event.type === 'network' && !this.#mayRun(event.containerId)) return;
    if (event.action === 'exec_died' && healthOf(this.#slots.get(event.containerId)) === '') return;
    const slot = this.#slot(event.containerId);
    const isStale = slot.inspection !== undefined && isOlder(event, slot.inspection);
    if (isStart(event)) slot.isDown = false;
    if (isDeath(event)) {
      slot.deaths = addDeath(slot.deaths, this.#options.clock.monotonicMs());
      if (!isStale) {
        slot.isDeathCounted = true;
        slot.isDown = true;
      }
    }
    if (event.action === 'kill') {
      this.#onSignal(slot, { event, atMs: this.#options.clock.monotonicMs() });
      return;
    }
    if (slot.inspection !== undefined && !isStale) this.#foresee(slot, slot.inspection, event);
    slot.retries = 0;
    // A death says all, and Docker answers no inspection before it has cleaned up: with many at once starts would wait.
    const isSettled = isDeath(event) && slot.inspection !== undefined && !isStale;
    if (takesOut(event)) this.#inspector.doubt(slot.id);
    if (!isSettled) this.#inspector.request(slot.id);
    if (isAboutHealth(event)) this.#lookAgain(slot);
  }

  /** A signal from before we listened. */
  onPastSignal(signal: Signal): void {
    this.#onSignal(this.#slot(signal.event.containerId), signal);
  }

  /**
   * Whether its networks matter. Those of one that is about to start do not yet, and Docker answers no inspection of it
   * until it has started: with many at once all inspections would wait for these.
   */
  #mayRun(id: string): boolean {
    const slot = this.#slots.get(id);
    return slot !== undefined && !slot.isDown;
  }

  /** A list of what runs, asked for after the event stream was opened. `all`: trust nothing that was seen before. */
  onList(list: readonly Listed[], { all }: { readonly all: boolean }): void {
    this.#lookForAbsent(new Set(list.map(({ id }) => id)));
    for (const listed of list) {
      const { id, fingerprint } = listed;
      const slot = this.#slot(id);
      const mustInspect =
        all || slot.fingerprint !== fingerprint || this.#isUncertain(slot, listed);
      slot.fingerprint = fingerprint;
      if (mustInspect) this.#inspector.request(id);
    }
    this.#isListed = true;
    this.#checkComplete();
  }

  /** Nothing that was seen is believed any more: each is unknown until it is inspected again. */
  distrust(): void {
    for (const slot of this.#slots.values()) {
      this.#inspector.doubt(slot.id);
      slot.inspection = undefined;
      slot.description = undefined;
      slot.wishes = [];
    }
    this.#options.onChange();
  }

  /** What `describe` depends on besides the container has changed. */
  reevaluate(): void {
    for (const slot of this.#slots.values()) this.#evaluate(slot);
    this.#options.onChange();
  }

  close(): void {
    this.#inspector.close();
    for (const { alarms } of this.#slots.values()) alarms.cancelAll();
  }

  /** Before all that runs, however much that is: what is gone must not be answered for. */
  #lookForAbsent(running: ReadonlySet<string>): void {
    for (const slot of this.#slots.values()) {
      if (running.has(slot.id)) continue;
      if (slot.inspection === undefined || isAlive(slot.inspection))
        this.#inspector.request(slot.id);
      else if (isForgotten(slot.deaths, this.#options.clock.monotonicMs())) this.#forget(slot);
    }
  }

  /** Of one that is listed. Lists do not tell the restart of one without an address, nor what is being waited for. */
  #isUncertain(slot: Slot, { state, health }: Listed): boolean {
    const { inspection, description, ending } = slot;
    if (inspection === undefined || !isAlive(inspection) || ending !== undefined) return true;
    const { Status = state } = inspection.State ?? {};
    // Seen between two lists that are alike, and the event that ended it was lost. Podman's lists tell no health.
    if (Status !== state || (health ?? '') !== healthOf(slot)) return true;
    if (description === undefined || isWaiting(description)) return true;
    return /^(?:container:|host$)/.test(inspection.HostConfig?.NetworkMode ?? '');
  }

  #slot(id: string): Slot {
    const known = this.#slots.get(id);
    if (known !== undefined) return known;
    const slot = newSlot(id, this.#options.clock);
    this.#slots.set(id, slot);
    this.#byShortId.set(shortId(id), slot);
    return slot;
  }

  #forget(slot: Slot): void {
    slot.alarms.cancelAll();
    this.#slots.delete(slot.id);
    this.#byShortId.delete(shortId(slot.id));
    this.#joined.delete(slot);
  }

  #foresee(slot: Slot, inspection: Inspection, event: EngineEvent): void {
    const foreseen = anticipate(inspection, event);
    if (foreseen === inspection) return;
    slot.inspection = foreseen;
    this.#evaluateWithJoined(slot);
    this.#options.onChange();
  }

  /** Needs no inspection: a signal by itself changes nothing that could be seen. */
  #onSignal(slot: Slot, signal: Signal): void {
    const { inspection } = slot;
    if (inspection === undefined) slot.signals = [...slot.signals, signal].slice(-MAX_SIGNALS);
    else if (endsWith(slot, inspection, signal)) {
      this.#evaluateWithJoined(slot);
      this.#options.onChange();
    }
  }

  #onInspected(id: string, inspection: Inspection | undefined): void {
    const slot = this.#slot(id);
    const hasRecentDeaths = !isForgotten(slot.deaths, this.#options.clock.monotonicMs());
    if (inspection === undefined || (!isAlive(inspection) && !hasRecentDeaths)) {
      this.#forget(slot);
      this.#evaluateJoined(slot);
    } else {
      slot.inspection = inspection;
      this.#noteLife(slot, inspection);
      for (const signal of slot.signals) endsWith(slot, inspection, signal);
      slot.signals = [];
      this.#noteParent(slot, inspection);
      this.#evaluateWithJoined(slot);
      if (slot.description === undefined || !isWaiting(slot.description)) slot.retries = 0;
      else this.#retry(slot);
    }
    this.#checkComplete();
    this.#options.onChange();
  }

  /** Podman tells of a check before it has stored the result. */
  #lookAgain(slot: Slot, [delayMs, ...later]: readonly number[] = HEALTH_DELAYS_MS): void {
    if (delayMs === undefined) return;
    slot.alarms.set('health', delayMs, () => {
      this.#inspector.request(slot.id);
      this.#lookAgain(slot, later);
    });
  }

  #onFailed(id: string, error: EngineError): void {
    this.#options.onFailure(id, error);
    this.#retry(this.#slot(id));
    this.#checkComplete();
  }

  #retry(slot: Slot): void {
    const delayMs = RETRY_MS[slot.retries++];
    // After the last one the next list looks at it again.
    if (delayMs !== undefined) {
      slot.alarms.set('retry', delayMs, () => this.#inspector.request(slot.id));
    }
  }

  /** A new life that follows many short ones is not published at once. */
  #noteLife(slot: Slot, inspection: Inspection): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (!beginLife(slot, inspection, nowMs) || slot.heldUntilMs <= nowMs) return;
    slot.alarms.set('held', slot.heldUntilMs - nowMs, () => {
      this.#evaluate(slot);
      this.#options.onChange();
    });
  }

  #noteParent(slot: Slot, inspection: Inspection): void {
    slot.parentId = parentIdOf(inspection);
    if (slot.parentId === undefined) this.#joined.delete(slot);
    else this.#joined.add(slot);
  }

  #evaluateWithJoined(slot: Slot): void {
    this.#evaluate(slot);
    this.#evaluateJoined(slot);
  }

  #evaluateJoined(parent: Slot): void {
    for (const child of this.#joined) if (isNamed(parent, child.parentId)) this.#evaluate(child);
  }

  #evaluate(slot: Slot): void {
    const { inspection, parentId } = slot;
    const parent = parentId === undefined ? undefined : this.#find(parentId);
    const isUnknown = inspection === undefined || (parent !== undefined && !parent.inspection);
    slot.description = isUnknown ? undefined : this.#describe(slot, inspection, parent?.inspection);
    slot.wishes =
      inspection === undefined ? [] : wishesOf(slot, inspection, this.#options.ownerId());
  }

  #describe(slot: Slot, inspection: Inspection, parent: Inspection | undefined): Description {
    const description = this.#options.describe(inspection, parent);
    if (description.kind !== 'described') return description;
    if (description.stop === 'drain' && this.#isEnding(slot, inspection, description.draining))
      return { kind: 'ignored', reason: whyEnding(description.draining, inspection) };
    const isHeld = slot.heldUntilMs > this.#options.clock.monotonicMs();
    if (!isHeld || inspection.State?.Health?.Status === 'healthy') return description;
    return { kind: 'ignored', reason: 'keeps dying: published once it has lasted 5 s' };
  }

  /** Has it looked at again when it may have survived. */
  #isEnding(slot: Slot, inspection: Inspection, draining: Draining): boolean {
    const { ending } = slot;
    const nowMs = this.#options.clock.monotonicMs();
    if (ending === undefined) return false;
    if (hasSurvived(ending, draining, inspection, nowMs)) {
      slot.ending = undefined;
      return false;
    }
    const lookInMs = nextLookInMs(ending, draining, inspection, nowMs);
    if (lookInMs !== undefined && !slot.alarms.has('ending'))
      slot.alarms.set('ending', lookInMs, () => this.#inspector.request(slot.id));
    return true;
  }

  #find(idOrName: string): Slot | undefined {
    const slot = this.#slots.get(idOrName);
    if (slot !== undefined) return slot;
    for (const each of this.#slots.values()) if (isNamed(each, idOrName)) return each;
    return undefined;
  }

  #checkComplete(): void {
    if (this.#isComplete || !this.#isListed || this.#inspector.pending > 0) return;
    this.#isComplete = true;
    this.#options.onChange();
  }
}
