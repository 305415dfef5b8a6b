/**
 * A worker listener in a separate process. Tests compile this file. It reports its ports and, at each message, the
 * drops that it counted.
 */
import { createWorkerListener } from '../../src/dataplane/listeners/workerListener.ts';
import { DROP_REASONS, dropSlot } from '../../src/dataplane/table/counters.ts';
import { loadLibc } from '../../src/kernel/libc.ts';
// This import makes the compiler compile the file too.
import './scriptedWorker.ts';

export type FromServer =
  | { readonly kind: 'listening'; readonly ports: readonly number[] }
  | { readonly kind: 'dropped'; readonly byReason: Readonly<Record<string, number>> };

async function run(addresses: readonly string[]): Promise<void> {
  const found = loadLibc();
  if (found.kind === 'missing') throw new Error(found.reason);
  const listener = createWorkerListener({
    libc: found.libc,
    workers: 2,
    table: { memory: new SharedArrayBuffer(8), maxUdpOctets: 1232 },
    entry: new URL('./scriptedWorker.js', import.meta.url),
    respond: (packet, _client, send) => send(Uint8Array.from(packet)),
  });
  const bound = await Promise.all(addresses.map((address) => listener.listen(address, 0)));
  const report = (message: FromServer): void => void process.send?.(message);
  process.on('message', () => {
    const sumOf = (slot: number): number =>
      listener.blocks.reduce((sum, { block }) => sum + (block[slot] ?? 0), 0);
    const byReason = DROP_REASONS.map((reason) => [reason, sumOf(dropSlot(reason))] as const);
    report({ kind: 'dropped', byReason: Object.fromEntries(byReason) });
  });
  process.on('disconnect', () => void listener.close());
  report({ kind: 'listening', ports: bound.map(({ port }) => port) });
}

if (process.send !== undefined) await run(process.argv.slice(2));
