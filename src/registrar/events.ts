/** What a registrar tells of itself, for logs and for those who watch it. */
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
  /** Another engine is at the address, or the engine has got another id. */
  | { readonly kind: 'engineChanged'; readonly from: EngineInfo; readonly to: EngineInfo }
  /** The engine's socket is mounted as a file, so that a new one would not be seen. */
  | { readonly kind: 'socketMounted'; readonly label: string }
  /** Docker has made a new socket, and a mount in this container holds on to the old one. */
  | { readonly kind: 'socketReplaced'; readonly label: string }
  | { readonly kind: 'found'; readonly finding: RegistrarFinding }
  /** The engine was gone for too long. */
  | { readonly kind: 'withdrawn'; readonly afterMs: number }
  | { readonly kind: 'inspectFailed'; readonly shortId: ShortId; readonly error: EngineError }
  | { readonly kind: 'refused'; readonly shortId: ShortId; readonly refusal: Refusal }
  | { readonly kind: 'hostFacts'; readonly hostFacts: HostFacts }
  | { readonly kind: 'store'; readonly event: MirrorEvent }
  | { readonly kind: 'closeFailed'; readonly error: StoreError };

/** Which refusals were told already, so that each is told once; in bounded memory, as strangers write what is refused. */

const MAX_REMEMBERED = 10_000;

export class ReportedRefusals {
  readonly #reported = new Set<string>();

  /** Those of a container that were not told before; from now on they were. */
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
