/** The events that a registrar reports, for its log and for a dry run. */
import type { MirrorEvent } from '../store/mirror.ts';
import type { StoreError } from '../store/store.ts';
import type { HostFacts } from './describe/context.ts';
import type { Refusal } from './describe/description.ts';
import type { ShortId } from './engine/containerId.ts';
import type { EngineError, EngineInfo } from './engine/engine.ts';
import type { RegistrarFinding } from './finding.ts';
import type { LeadershipEvent } from './leadership/leadership.ts';
import type { ReconcileEvent } from './reconcile/reconciler.ts';

export type RegistrarEvent =
  | ReconcileEvent
  | LeadershipEvent
  | { readonly kind: 'engineConnected'; readonly label: string }
  | { readonly kind: 'engineLost'; readonly error: EngineError; readonly retryInMs: number }
  /** Another engine answers at the address, or the engine has another id than before. */
  | { readonly kind: 'engineChanged'; readonly from: EngineInfo; readonly to: EngineInfo }
  /** The engine's socket is mounted as a file: if Docker recreates it, this container keeps the old one. */
  | { readonly kind: 'socketMounted'; readonly label: string }
  /** Docker recreated its socket, and a mount in this container still holds the old one. */
  | { readonly kind: 'socketReplaced'; readonly label: string }
  | { readonly kind: 'found'; readonly finding: RegistrarFinding }
  /** The grace period for an absent engine expired. */
  | { readonly kind: 'graceExpired'; readonly afterMs: number }
  | { readonly kind: 'inspectFailed'; readonly shortId: ShortId; readonly error: EngineError }
  | { readonly kind: 'refused'; readonly shortId: ShortId; readonly refusal: Refusal }
  | { readonly kind: 'hostFacts'; readonly hostFacts: HostFacts }
  | { readonly kind: 'store'; readonly event: MirrorEvent }
  | { readonly kind: 'closeFailed'; readonly error: StoreError };

const MAX_REMEMBERED = 10_000;

/** The refusals that were reported already. Memory is bounded, because containers choose the texts that are refused. */
export class ReportedRefusals {
  readonly #reported = new Set<string>();

  /** Adds the container's refusals and returns those that are new. */
  addNew(shortId: ShortId, refusals: readonly Refusal[]): readonly Refusal[] {
    return refusals.filter(({ about, reason }) => {
      const id = `${shortId} ${about} ${reason}`;
      if (this.#reported.has(id)) return false;
      if (this.#reported.size >= MAX_REMEMBERED) this.#reported.clear();
      this.#reported.add(id);
      return true;
    });
  }
}
