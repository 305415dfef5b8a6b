/** Starting a file as a worker thread, whether it was compiled or is run from source. */
import { Worker, type WorkerOptions } from 'node:worker_threads';

/** What runs TypeScript in development; Node 20 does not hand a process's loader on to its threads. */
const SOURCE_LOADER = 'tsx/esm/api';

export function startThread(entry: URL, options: WorkerOptions): Worker {
  if (!entry.pathname.endsWith('.ts')) return new Worker(entry, options);
  const [loader, file] = [SOURCE_LOADER, entry.href].map((text) => JSON.stringify(text));
  const script = `import(${loader}).then(({ register }) => { register(); return import(${file}); })`;
  return new Worker(script, { ...options, eval: true });
}
