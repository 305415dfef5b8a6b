/** `soradns up --vip` for one engine, on its host, with a service at a virtual address and its consumers. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MAIN } from './cli.ts';
import { type CliProcess, startCli } from './cliProcess.ts';
import { dig } from './dig.ts';
import type { Dockerd } from './dockerd.ts';
import { compile } from './dockerImages.ts';
import type { ContainerSetup } from './engineCommands.ts';
import { WatchedFlow } from './flows.ts';
import { until } from './until.ts';

/** A Docker or a Podman. */
export interface AmbassadorEngine {
  readonly host: string;
  readonly address: string;
  onHost(...command: readonly string[]): readonly [string, ...string[]];
  run(container: ContainerSetup): Promise<string>;
  /** Runs the engine's command. */
  command(...args: readonly string[]): Promise<string>;
}

/** What a consumer sees: the text of the server, or an error. */
export type Seen = string;

export class SingleAmbassador {
  readonly #engine: AmbassadorEngine;
  readonly #soradns: CliProcess;

  private constructor(engine: AmbassadorEngine, soradns: CliProcess) {
    this.#engine = engine;
    this.#soradns = soradns;
  }

  static async start(engine: AmbassadorEngine, options: readonly string[] = []) {
    // Another system's files have no Node, so only the network is the host's.
    const program = engine.onHost(process.execPath, MAIN).filter((word) => word !== '--mount');
    const soradns = startCli(
      [
        'up',
        '--store',
        'memory:',
        '--addr',
        `${engine.address}:53`,
        '--no-rec',
        '--vip',
        ...options,
      ],
      { DOCKER_HOST: engine.host },
      program as [string, ...string[]],
    );
    await soradns.logged('following docker');
    return new SingleAmbassador(engine, soradns);
  }

  /** Waits for the virtual address of a name. */
  async virtualAddress(name: string, type: 'A' | 'AAAA' = 'A'): Promise<string> {
    const server = { address: this.#engine.address, port: 53 };
    let answer = '';
    const isVirtual = async (): Promise<boolean> => {
      answer = (await dig(server, name, type, '+short')).text.trim();
      return /^(198\.18\.|fd99:)/.test(answer);
    };
    await until(`${name} has a virtual address`, isVirtual, 20_000).catch((error) => {
      throw new Error(`${error}\n${answer}\n${this.#soradns.stdout().slice(-4_000)}`);
    });
    return answer;
  }

  /** Connects in a container, or with a program on the host. */
  async seen(
    from: { readonly id: string } | { readonly program: string },
    address: string,
    port = 80,
  ): Promise<Seen> {
    const args = ['connects', address, `${port}`, '1', '0'] as const;
    const line: readonly [string, ...string[]] =
      'id' in from
        ? ['nsenter', '--target', await this.#pidOf(from.id), '--net', '--mount', 'flow', ...args]
        : (this.#engine.onHost(from.program, ...args).filter((word) => word !== '--mount') as [
            string,
          ]);
    const flow = new WatchedFlow(line);
    await flow.ended();
    const [result] = flow.seen() as unknown as [
      { replies: Record<string, number>; error: string }?,
    ];
    if (result === undefined) throw new Error(flow.stderr());
    return Object.keys(result.replies)[0] ?? result.error.replace(/ at .*/, '');
  }

  log(): string {
    return this.#soradns.stdout().slice(-4_000);
  }

  async stop(): Promise<void> {
    await this.#soradns.end('SIGKILL');
  }

  #pidOf(id: string): Promise<string> {
    return this.#engine.command('inspect', '--format', '{{.State.Pid}}', id);
  }
}

export function engineOf(dockerd: Dockerd): AmbassadorEngine {
  return {
    ...{ host: dockerd.host, address: dockerd.address },
    onHost: (...command) => dockerd.onHost(...command),
    run: (container) => dockerd.run(container),
    command: (...args) => dockerd.docker(...args),
  };
}

/** What each kind of consumer on the host sees at the virtual address of a service there. */
export interface Cells {
  readonly same: Seen;
  readonly itself: Seen;
  readonly other: Seen;
  readonly program: Seen;
  /** From another bridge to the container's own address, which Docker keeps apart. */
  readonly plain: Seen;
}

export interface CellsSetup {
  readonly options?: readonly string[];
  readonly type?: 'A' | 'AAAA';
  /** More options of `network create`. */
  readonly network?: readonly string[];
}

/** A service on the default bridge, whose text is `web`; one consumer is on another bridge. */
export async function cellsOn(
  engine: AmbassadorEngine,
  { options = [], type = 'A', network = [] }: CellsSetup = {},
): Promise<Cells> {
  const folder = mkdtempSync(join(tmpdir(), 'soradns-flow-'));
  const ambassador = await SingleAmbassador.start(engine, options);
  try {
    await engine.command('network', 'create', ...network, 'other');
    const backend = await engine.run({
      ...{ image: 'peer', publish: ['80'], command: ['flow', 'serve', 'web', '80'] },
      env: { DNS_NAME: '1.web.skydns.local', DNS_VIP: 'auto' },
    });
    const same = await engine.run({ image: 'peer' });
    const other = await engine.run({ image: 'peer', network: 'other' });
    const vip = await ambassador.virtualAddress('web.skydns.local', type);
    const field = type === 'A' ? 'IPAddress' : 'GlobalIPv6Address';
    const format = `{{range .NetworkSettings.Networks}}{{.${field}}}{{end}}`;
    const own = await engine.command('inspect', '--format', format, backend);
    const program = compile(folder, 'musl-gcc', 'flow', 'flow.c', '-static');
    const [toSame, toItself, toOther, toProgram, plain] = await Promise.all([
      ambassador.seen({ id: same }, vip),
      ambassador.seen({ id: backend }, vip),
      ambassador.seen({ id: other }, vip),
      ambassador.seen({ program }, vip),
      ambassador.seen({ id: other }, own),
    ]);
    return { same: toSame, itself: toItself, other: toOther, program: toProgram, plain };
  } catch (error) {
    throw new Error(`${error}\n${ambassador.log()}`, { cause: error });
  } finally {
    await ambassador.stop();
    rmSync(folder, { recursive: true });
  }
}
