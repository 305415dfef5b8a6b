/** Containers that serve and use connections, for tests that watch what becomes of them (flow.c). */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Host } from './host.ts';
import { environment } from './hostCleaner.ts';
import { until } from './until.ts';

export interface FlowServer {
  /** Its replies begin with it. */
  readonly text: string;
  /** Ports that it serves, with TCP and with UDP. */
  readonly ports: readonly number[];
  readonly env: Readonly<Record<string, string>>;
  /** Values of `-p`; default: each port on any port of the host, for both protocols. */
  readonly publish?: readonly string[];
  readonly network?: string;
  readonly args?: readonly string[];
}

/** Starts a container that answers lines and datagrams; returns its id. */
export function serveFlows(host: Host, server: FlowServer): Promise<string> {
  const { text, ports, env, network, args } = server;
  const publish = server.publish ?? ports.flatMap((port) => [`${port}/tcp`, `${port}/udp`]);
  return host.dockerd.run({
    image: 'peer',
    env,
    publish,
    command: ['flow', 'serve', text, ...ports.map(String)],
    ...(network !== undefined && { network }),
    ...(args && { args }),
  });
}

/** Where a client runs: in a container, or as a program of the host. */
export type ClientPlace =
  | { readonly kind: 'container'; readonly network?: string; readonly args?: readonly string[] }
  /** In a container that runs. */
  | { readonly kind: 'exec'; readonly id: string }
  /** In the container with this process, entered past Docker. */
  | { readonly kind: 'process'; readonly pid: string }
  | { readonly kind: 'host'; readonly program: string };

/** What `flow connects` has seen. */
export interface Connects {
  readonly count: number;
  readonly failed: number;
  /** The first failure; empty without one. */
  readonly error: string;
  readonly slowestMs: number;
  /** Replies by the server's text. */
  readonly replies: Readonly<Record<string, number>>;
}

/** Connects that often, one after another, and exchanges a line each time. The name is resolved once. */
export async function connectOften(
  host: Host,
  place: ClientPlace,
  [name, port]: readonly [name: string, port: number],
  { count, pauseMs = 0 }: { readonly count: number; readonly pauseMs?: number },
): Promise<Connects> {
  const line = clientLine(host, place, ['connects', name, `${port}`, `${count}`, `${pauseMs}`]);
  const watched = new WatchedFlow(line);
  await watched.ended();
  const [seen] = watched.seen() as unknown as readonly Connects[];
  if (seen === undefined) throw new Error(`flow connects: ${watched.stderr()}`);
  return seen;
}

/** A change of what a client sees: a reply, an error, or the end of the watch. */
export interface FlowChange {
  readonly atMs: number;
  readonly reply?: string;
  readonly error?: string;
  readonly end?: true;
}

/** Exchanges lines on one or on ever new connections, or datagrams on one socket, until it fails or the time is over. */
export function watchFlow(
  host: Host,
  place: ClientPlace,
  kind: 'stream' | 'datagrams' | 'attempts',
  [name, port]: readonly [name: string, port: number],
  { everyMs, seconds }: { readonly everyMs: number; readonly seconds: number },
): WatchedFlow {
  return new WatchedFlow(
    clientLine(host, place, [kind, name, `${port}`, `${everyMs}`, `${seconds}`]),
  );
}

function clientLine(
  { dockerd, bridge }: Host,
  place: ClientPlace,
  args: readonly string[],
): readonly [string, ...string[]] {
  if (place.kind === 'host') return dockerd.onHost(place.program, ...args);
  if (place.kind === 'process')
    return ['nsenter', '--target', place.pid, '--net', '--mount', 'flow', ...args];
  if (place.kind === 'exec') return dockerd.cli('exec', place.id, 'flow', ...args);
  const { network = 'bridge', args: more = [] } = place;
  const options = ['--rm', '--network', network, '--dns', bridge, ...more];
  return dockerd.cli('run', ...options, 'peer', 'flow', ...args);
}

export class WatchedFlow {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #stdout = '';
  #stderr = '';

  constructor([command, ...args]: readonly [string, ...string[]]) {
    const child = spawn(command, args, { env: environment(), stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    this.#child = child;
    this.#ended = once(child, 'close');
  }

  stderr(): string {
    return this.#stderr;
  }

  /** The changes so far, the first ones first. */
  seen(): readonly FlowChange[] {
    return this.#stdout
      .split('\n')
      .slice(0, -1)
      .map((line): FlowChange => JSON.parse(line));
  }

  /** Waits until a change meets the condition; returns it. */
  async saw(what: string, isIt: (change: FlowChange) => boolean): Promise<FlowChange> {
    let found: FlowChange | undefined;
    await until(
      what,
      () => {
        found = this.seen().find(isIt);
        return found !== undefined;
      },
      30_000,
    ).catch((error) => {
      throw new Error(`${error}\n${this.#stdout}${this.#stderr}`);
    });
    return found as FlowChange;
  }

  /** Ends the client. */
  end(): void {
    this.#child.kill();
  }

  /** Waits until the client has ended. */
  async ended(): Promise<void> {
    await this.#ended;
  }
}
