/** An HTTP listener with a store for one test, on a loopback port. */
import { HttpListener, type HttpListenerOptions } from '../../src/server/http/listener.ts';
import { createMemoryStore } from '../../src/store/embedded/memoryStore.ts';
import type { LeaseStore } from '../../src/store/store.ts';

export interface RunningHttp {
  /** `http://127.0.0.1:port` */
  readonly url: string;
  readonly port: number;
  readonly store: LeaseStore;
  /** Errors that the listener reported as bugs; `stop` throws if there are any. */
  readonly errors: readonly unknown[];
  stop(): Promise<void>;
}

/** Starts a listener; defaults: an empty memory store and a free port. */
export async function startHttp({
  port: wanted = 0,
  ...options
}: Partial<HttpListenerOptions> & { port?: number } = {}): Promise<RunningHttp> {
  const store = options.store ?? createMemoryStore();
  const errors: unknown[] = [];
  const onError = (error: unknown) => errors.push(error);
  const defaults = { store, readiness: () => [], version: '0.0.0-test', onError };
  const listener = new HttpListener({ ...defaults, ...options });
  const { port } = await listener.listen('127.0.0.1', wanted);
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    store,
    errors,
    stop: async () => {
      await listener.close();
      await store.close();
      if (errors.length > 0) throw new AggregateError(errors, 'the listener reported bugs');
    },
  };
}
