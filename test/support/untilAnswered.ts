/** Calls of a test or a benchmark itself to an etcd that it overloads on purpose. */
import { setTimeout as sleep } from 'node:timers/promises';

const ATTEMPTS = 20;
const PAUSE_MS = 1_000;

/** Repeats a call until it succeeds. Rejects with the last error when none of the attempts did. */
export async function untilAnswered<T>(call: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
      await sleep(PAUSE_MS);
    }
  }
}
