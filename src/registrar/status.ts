/** The registrar's state as plain JSON values, for people, `/readyz` and metrics. Changes nothing. */
import { NO_SRV } from '../service/service.ts';
import type { RecordLinking, Refusal } from './describe/description.ts';
import type { StampedRecord } from './describe/storedValue.ts';
import { nameKeyOf, storedKey } from './describe/storedValue.ts';
import { shortIdOf } from './engine/containerId.ts';
import type { RegistrarFinding } from './finding.ts';
import type { LeadershipState } from './leadership/leadership.ts';
import type { Consumer } from './links/consumers.ts';
import type { ContainerLink } from './links/links.ts';
import type { EngineState } from './observe/follow.ts';
import type { ContainerState } from './observe/trackedContainer.ts';
import { conflictOf } from './reconcile/announcements.ts';
import type { Assignment } from './reconcile/assign.ts';
import { mayStand } from './reconcile/storedRecords.ts';
import type { EngineSession, SessionCounters } from './session.ts';

export interface RegistrarStatus {
  readonly engine: {
    readonly label: string;
    readonly state: EngineState['kind'];
    readonly forSeconds: number;
    readonly id?: string;
    readonly name?: string;
    readonly reason?: string;
  };
  readonly store: { readonly label: string; readonly state: string; readonly reason?: string };
  /** `writing`: this registrar keeps the records. `standby`: another registrar of this engine does. */
  readonly role: 'starting' | 'writing' | 'standby' | 'dry-run';
  readonly lease?: { readonly id: string; readonly renewedSecondsAgo: number };
  /** In standby: the host of the other registrar. */
  readonly holder?: string;
  /** Faults that do not keep it from working. */
  readonly findings: readonly RegistrarFinding[];
  readonly containers: readonly ContainerStatus[];
  readonly counters: Counters;
}

export interface ContainerStatus {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly records: readonly RecordStatus[];
  readonly refusals: readonly Refusal[];
  /** Why there are no records, or not all: the rest of a sentence that begins with "it". */
  readonly reason?: string;
  /** Advice for the operator, in sentences. */
  readonly hints: readonly string[];
  /** Where its connections lead. Absent without links. */
  readonly links?: readonly ContainerLink[];
  /** Why no link is in force yet: the rest of a sentence that begins with "it". */
  readonly linksReason?: string;
}

export interface RecordStatus {
  /** Without a number until one is assigned. */
  readonly key: string;
  /** The name's own key, if the name has both address families. */
  readonly nameKey?: string;
  readonly host: string;
  /** Absent for a record without a port. */
  readonly port?: number;
  /** `published`: the store has it. `conflict`: another holder has the name. `unchecked`: its check does not pass. */
  readonly state: 'published' | 'pending' | 'conflict' | 'unchecked' | 'refused';
  readonly reason?: string;
  /** Absent for a PTR record. */
  readonly linking?: RecordLinking;
  /** What became of its wish for a virtual address, where this server gives them. */
  readonly virtual?: VirtualState;
}

/** The virtual address of the name that a record asks for. */
export interface VirtualState {
  readonly address?: string;
  /** Why the wish is refused. */
  readonly reason?: string;
}

export interface Counters {
  /** At present. */
  readonly containers: number;
  readonly published: number;
  readonly pending: number;
  readonly conflicts: number;
  readonly refusals: number;
  /** Since the start of the registrar. */
  readonly puts: number;
  readonly deletes: number;
  readonly writeFailures: number;
  readonly engineReconnects: number;
  readonly storeFailures: number;
}

export interface Readiness {
  readonly isReady: boolean;
  readonly reasons: readonly UnreadyReason[];
}

/** A reason why the registrar is not ready. */
export interface UnreadyReason {
  readonly about: 'docker' | 'store' | 'lease' | 'containers' | 'writing';
  readonly text: string;
}

/** One line for people. */
export function printReason({ about, text }: UnreadyReason): string {
  return `${about}: ${text}`;
}

/** What the status is made from. */
export interface RegistrarView {
  readonly engine: { readonly label: string; readonly state: EngineState };
  readonly reconnects: number;
  readonly store: string;
  readonly dryRun: boolean;
  /** The grace period expired, so that all records were removed. */
  readonly isGraceExpired: boolean;
  readonly nowMs: number;
  readonly counters: SessionCounters;
  /** `undefined` until the engine's id is known. */
  readonly session: EngineSession | undefined;
}

export function statusOf(view: RegistrarView): RegistrarStatus {
  const { session, dryRun } = view;
  const leadership = session?.leadership.state();
  const containers = session === undefined ? [] : containersOf(session, view.isGraceExpired);
  return {
    engine: engineOf(view),
    store: storeOf(view),
    role: roleOf(leadership, dryRun),
    ...(leadership?.kind === 'held' ? { lease: leaseOf(leadership, view.nowMs) } : {}),
    ...(leadership?.kind === 'standby' ? { holder: leadership.holder.host } : {}),
    findings: session?.findings() ?? [],
    containers,
    counters: countersOf(view, containers),
  };
}

/** A registrar is ready if its records are as desired, or if it stands by. */
export function readinessOf(view: RegistrarView): Readiness {
  const { engine, session } = view;
  const reasons: UnreadyReason[] = [];
  const add = (about: UnreadyReason['about'], text: string): void => {
    reasons.push({ about, text });
  };
  if (engine.state.kind !== 'connected') add('docker', engine.state.reason ?? 'not connected yet');
  if (session !== undefined) {
    const store = session.mirror.state();
    if (store.kind !== 'synced') add('store', store.reason ?? 'not read yet');
    const leadership = session.leadership.state();
    if (leadership.kind === 'seeking') add('lease', leadership.reason ?? 'not held yet');
    if (!session.containers.isComplete) add('containers', 'not all inspected yet');
    const failure = session.reconciler.lastFailure;
    if (failure !== undefined) add('writing', failure.message);
  }
  return { isReady: reasons.length === 0, reasons };
}

function engineOf({ engine, session, nowMs }: RegistrarView): RegistrarStatus['engine'] {
  const { label, state } = engine;
  const info = session?.info;
  return {
    label,
    state: state.kind,
    forSeconds: Math.round((nowMs - state.sinceMs) / 1000),
    ...(info === undefined ? {} : { id: info.id, name: info.name }),
    ...('reason' in state && state.reason !== undefined ? { reason: state.reason } : {}),
  };
}

function storeOf({ store: label, session }: RegistrarView): RegistrarStatus['store'] {
  const state = session?.mirror.state();
  if (state === undefined) return { label, state: 'waiting', reason: 'waits for the engine' };
  const reason = 'reason' in state ? state.reason : undefined;
  return { label, state: state.kind, ...(reason === undefined ? {} : { reason }) };
}

function roleOf(leadership: LeadershipState | undefined, dryRun: boolean): RegistrarStatus['role'] {
  if (dryRun) return 'dry-run';
  if (leadership?.kind === 'held') return 'writing';
  return leadership?.kind === 'standby' ? 'standby' : 'starting';
}

function leaseOf(leadership: Extract<LeadershipState, { kind: 'held' }>, nowMs: number) {
  const renewedSecondsAgo = Math.round((nowMs - leadership.renewedAtMs) / 1000);
  return { id: leadership.leaseId, renewedSecondsAgo };
}

function containersOf(session: EngineSession, isGraceExpired: boolean): ContainerStatus[] {
  const byContainer = new Map<string, Assignment[]>();
  for (const assignment of session.reconciler.assignments()) {
    const { containerId } = assignment.stamped;
    const some = byContainer.get(containerId);
    if (some === undefined) byContainer.set(containerId, [assignment]);
    else some.push(assignment);
  }
  const consumers = new Map(session.hostContainers.consumers().map((one) => [one.id, one]));
  return [...session.containers.all()].map((tracked) => {
    const assignments = byContainer.get(tracked.id) ?? [];
    const reason = isGraceExpired
      ? 'was on an engine that has been absent for longer than the grace period'
      : reasonOf(tracked);
    return {
      id: shortIdOf(tracked.id),
      name: (tracked.inspection?.Name ?? '').replace(/^\//, ''),
      state: tracked.inspection?.State?.Status ?? 'unknown',
      records: recordsOf(tracked, assignments, session),
      refusals: [
        ...(tracked.description?.kind === 'described' ? tracked.description.refusals : []),
        ...(consumers.get(tracked.id)?.refusals ?? []),
      ],
      ...(reason === undefined ? {} : { reason }),
      hints: tracked.description?.hints ?? [],
      ...linksOf(consumers.get(tracked.id)),
    };
  });
}

function linksOf(consumer: Consumer | undefined): Pick<ContainerStatus, 'links' | 'linksReason'> {
  if (consumer === undefined) return {};
  const { links, waiting } = consumer;
  return {
    ...(links.length === 0 ? {} : { links }),
    ...(waiting === undefined ? {} : { linksReason: waiting }),
  };
}

function reasonOf({ description }: ContainerState): string | undefined {
  if (description === undefined) return 'has not been inspected yet';
  return description.kind === 'described' ? description.waiting : description.reason;
}

/** A record without an assignment is new, or its check does not pass. */
function recordsOf(
  { desired }: ContainerState,
  assignments: readonly Assignment[],
  session: EngineSession,
): RecordStatus[] {
  return desired.map((stamped) => {
    const assignment = assignments.find(({ stamped: assigned }) => assigned === stamped);
    const shown = keyAndHostOf(stamped, assignment);
    return { ...shown, ...recordState(stamped, shown.key, assignment, session) };
  });
}

function recordState(
  stamped: StampedRecord,
  key: string,
  assignment: Assignment | undefined,
  session: EngineSession,
): Pick<RecordStatus, 'state' | 'reason'> {
  const leadership = session.leadership.state();
  if (assignment?.kind === 'taken')
    return { state: 'conflict', reason: whyTaken(assignment, session) };
  const check = session.checks.stateOf(stamped);
  if (check !== undefined && check !== 'passing')
    return { state: 'unchecked', reason: 'its check does not pass' };
  if (leadership.kind === 'held' && assignment === undefined && !mayStand(stamped, session.stored))
    return { state: 'pending', reason: 'waits until this container has the name above' };
  const stored = session.stored.get(key);
  const value = assignment?.value ?? stamped.value;
  if (stored !== undefined && Buffer.compare(stored.entry.value, value) === 0)
    return { state: 'published' };
  const refusal = session.reconciler.refusalOf(key);
  if (refusal !== undefined) return { state: 'refused', reason: refusal };
  return leadership.kind === 'standby'
    ? { state: 'pending', reason: `standby for ${leadership.holder.host}` }
    : { state: 'pending' };
}

function keyAndHostOf({ record }: StampedRecord, assignment: Assignment | undefined) {
  const { family } = record;
  const { host, port = NO_SRV } = record.fields;
  const key = assignment?.key ?? storedKey(record.key, family);
  const name = family === undefined ? {} : { nameKey: nameKeyOf(key) };
  const linking = record.pointer === undefined ? { linking: linkingOf(record.fields) } : {};
  return { key, ...name, host, ...(port === NO_SRV ? {} : { port }), ...linking };
}

function linkingOf(fields: RecordLinking): RecordLinking {
  const { expose, tags, vip, vipName, vipPort, leader, proxyProtocol } = fields;
  const all = { expose, tags, vip, vipName, vipPort, leader, proxyProtocol };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

function whyTaken(
  assignment: Extract<Assignment, { kind: 'taken' }>,
  { namespace }: EngineSession,
): string {
  const { reason, hint } = conflictOf(assignment, namespace);
  return hint === undefined ? reason : `${reason}; ${hint}`;
}

function countersOf(view: RegistrarView, containers: readonly ContainerStatus[]): Counters {
  const records = containers.flatMap((container) => container.records);
  const count = (state: RecordStatus['state']): number =>
    records.filter((record) => record.state === state).length;
  const { puts, deletes, failures, storeFailures } = view.counters;
  return {
    containers: containers.length,
    published: count('published'),
    pending: count('pending') + count('unchecked'),
    conflicts: count('conflict'),
    refusals: containers.reduce((sum, { refusals }) => sum + refusals.length, count('refused')),
    puts,
    deletes,
    writeFailures: failures,
    engineReconnects: view.reconnects,
    storeFailures: storeFailures + (view.session?.mirror.counters().failures ?? 0),
  };
}
