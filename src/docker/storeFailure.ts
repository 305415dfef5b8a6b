import { StoreError } from '../store/store.ts';

/** The error if it is the store's; anything else is a fault of ours, and thrown on. */
export function storeFailure(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  throw error;
}
