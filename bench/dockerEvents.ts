/** A Docker engine's container events, with their own times and the times at which the benchmark read them. */
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';

/** Times on the clock of `performance.now()`. The engine is on this machine and uses the same clock. */
export interface DockerEvent {
  readonly happenedMs: number;
  readonly readMs: number;
}

export interface DockerEvents {
  /** Resolves with the next such event of the container; rejects when the stream ends first. */
  next(action: 'start' | 'die', name: string): Promise<DockerEvent>;
  close(): void;
}

/** Subscribes to the events of the engine at the socket. */
export async function openDockerEvents(socketPath: string): Promise<DockerEvents> {
  const filters = JSON.stringify({ type: ['container'], event: ['start', 'die'] });
  const path = `/events?filters=${encodeURIComponent(filters)}`;
  const request = get({ socketPath, path, agent: false });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const awaited = new Map<string, Waiter>();
  const lines = createInterface({ input: response });
  lines.on('line', (line) => {
    const readMs = performance.now();
    const { Action, Actor, timeNano } = JSON.parse(line) as RawEvent;
    const what = `${Action} ${Actor.Attributes.name}`;
    awaited.get(what)?.resolve({ happenedMs: timeNano / 1e6 - performance.timeOrigin, readMs });
    awaited.delete(what);
  });
  lines.on('error', (error) => {
    for (const { reject: fail } of awaited.values()) fail(error);
  });
  return {
    next: (action, name) =>
      new Promise((hear, fail) =>
        awaited.set(`${action} ${name}`, { resolve: hear, reject: fail }),
      ),
    close: () => request.destroy(),
  };
}

interface Waiter {
  readonly resolve: (event: DockerEvent) => void;
  readonly reject: (error: unknown) => void;
}

interface RawEvent {
  readonly Action: string;
  readonly Actor: { readonly Attributes: { readonly name: string } };
  /** Nanoseconds since 1970; JSON.parse rounds it to a quarter of a microsecond. */
  readonly timeNano: number;
}
