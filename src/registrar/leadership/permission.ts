/** What may be written now, by what is known of the store and of the lock. */
import type { Mirror } from '../../store/mirror.ts';
import type { Leadership } from './leadership.ts';

export type WritePermission =
  /** `leaseId`: that all records must live with. */
  | { readonly kind: 'write'; readonly leaseId: string }
  /** Only compare: it is another one's turn, or a dry run. */
  | { readonly kind: 'look' }
  /** The store's state is not known yet. */
  | { readonly kind: 'wait' };

export function permissionOf(mirror: Mirror, leadership: Leadership): WritePermission {
  if (mirror.state().kind === 'loading') return { kind: 'wait' };
  const state = leadership.state();
  switch (state.kind) {
    case 'held':
      return { kind: 'write', leaseId: state.leaseId };
    case 'standby':
    case 'looking':
      return { kind: 'look' };
    case 'seeking':
      return { kind: 'wait' };
  }
}
