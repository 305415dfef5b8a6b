/**
 * A reader who follows the pages on Docker hosts: the commands run on the host that a block names, as root, as a reader
 * would type them.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Dockerd } from './dockerd.ts';
import { commandPath } from './dockerImages.ts';
import type { Block } from './pages.ts';
import { playSession, type Retries, type Shell, shellIn } from './session.ts';
import { PROJECT } from './standIns.ts';
import { until } from './until.ts';

/**
 * Answers follow changes with a delay, so commands that create nothing may be repeated until they print what the page
 * shows.
 */
const RETRIES: Retries = {
  of: /^(?:dig|curl|docker (?:run --rm|exec \w+ redis-cli|compose -p \w+ run --rm)|soradns (?:registrar|ls|query|doctor|links|leader get|ambassador status)) /,
  timeoutMs: 30_000,
};
const COMMAND_TIMEOUT_MS = 120_000;
const END_TIMEOUT_MS = 20_000;

interface Place {
  readonly folder: string;
  readonly dockerd: Dockerd;
  readonly env: NodeJS.ProcessEnv;
  readonly shell: Shell;
}

interface Background {
  readonly child: ChildProcess;
  readonly output: string[];
}

export class PageReader {
  readonly #folder = mkdtempSync(join(tmpdir(), 'soradns-page-'));
  /** The hosts' addresses in this run, and those of the pages. */
  readonly #addresses: readonly (readonly [actual: string, inPages: string])[];
  /** By the name of a host in blocks. */
  readonly #places: ReadonlyMap<string, Place>;
  #background: Background[] = [];

  /** The first host is 10.0.0.1 in the pages, the second one 10.0.0.2. */
  constructor(hosts: ReadonlyMap<string, Dockerd>) {
    this.#addresses = [...hosts.values()].map(({ address }, i) => [address, `10.0.0.${i + 1}`]);
    this.#places = new Map(
      [...hosts].map(([name, dockerd]) => [name, this.#place(name, dockerd)] as const),
    );
  }

  async follow(path: string, block: Block): Promise<void> {
    const { attributes, language, text } = block;
    const file = attributes.get('file');
    if (file !== undefined)
      for (const { folder } of this.#places.values()) writeFileSync(join(folder, file), text);
    const place = this.#places.get(attributes.get('on') ?? '');
    if (place === undefined) return;
    if (attributes.has('background')) {
      if (attributes.get('background') === 'again') await this.#endBackground();
      await this.#start(text, place);
    } else if (language === 'console') {
      await playSession(path, block, place.shell, RETRIES, () => this.#output());
    }
  }

  async leave(): Promise<void> {
    await this.#endBackground();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #place(name: string, dockerd: Dockerd): Place {
    const folder = join(this.#folder, name);
    const programs = join(folder, 'programs');
    mkdirSync(programs, { recursive: true });
    const main = join(PROJECT, 'dist/main.js');
    writeProgram(join(programs, 'soradns'), `exec "${process.execPath}" "${main}" "$@"`);
    // In Debian's package, compose is a separate program.
    writeProgram(
      join(programs, 'docker'),
      `if [ "$1" = compose ]; then shift; exec docker-compose "$@"; fi\nexec "${commandPath('docker')}" "$@"`,
    );
    const env = {
      ...process.env,
      PATH: `${programs}:${process.env.PATH}:/usr/sbin:/sbin`,
      HOME: folder,
      DOCKER_HOST: dockerd.host,
      DOCKER_CONFIG: join(folder, 'cli'),
      STATE_DIRECTORY: join(folder, 'state'),
      NO_COLOR: '1',
    };
    const run = shellIn({
      folder,
      env,
      onHost: (...command) => dockerd.onHost(...command),
      timeoutMs: COMMAND_TIMEOUT_MS,
    });
    const place = { folder, dockerd, env };
    const shell: Shell = async (command) => {
      const { code, printed } = await run(this.#here(command, place));
      return { code, printed: this.#asInPages(printed, place) };
    };
    return { ...place, shell };
  }

  /** Starts the commands, and waits until they log something. Throws if they end. */
  async #start(commands: string, { folder, dockerd, env }: Place): Promise<void> {
    const here = this.#here(commands, { folder, dockerd });
    const script = `cd "${folder}"\n${here.replace(/^(soradns )/m, 'exec $1')}`;
    const [command, ...args] = dockerd.onHost('bash', '-ec', script);
    const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const output: string[] = [];
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => output.push(text));
    this.#background.push({ child, output });
    const began = () => output.length > 0 || child.exitCode !== null;
    await until(`${commands} has begun`, began, RETRIES.timeoutMs);
    if (child.exitCode !== null) throw new Error(`${commands} has ended:\n${this.#output()}`);
  }

  async #endBackground(): Promise<void> {
    for (const { child } of this.#background) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const exited = once(child, 'exit');
      child.kill('SIGINT');
      const stuck = setTimeout(() => child.kill('SIGKILL'), END_TIMEOUT_MS);
      await exited;
      clearTimeout(stuck);
    }
    this.#background = [];
  }

  #output(): string {
    const texts = this.#background.map(({ output }) => output.join('').slice(-4000));
    return `The background's output:\n${texts.join('\n')}`;
  }

  /** Docker's socket and the socket of `dockerproxy` are in folders of the test. */
  #here(text: string, { folder, dockerd }: Pick<Place, 'folder' | 'dockerd'>): string {
    return this.#addresses
      .reduce((all, [actual, inPages]) => all.replaceAll(inPages, actual), text)
      .replaceAll('-v /var/run:', `-v ${dirname(dockerd.socket)}:`)
      .replaceAll('/run/soradns', join(folder, 'run'));
  }

  #asInPages(text: string, { folder }: Pick<Place, 'folder'>): string {
    return this.#addresses
      .reduce((all, [actual, inPages]) => all.replaceAll(actual, inPages), text)
      .replaceAll(join(folder, 'run'), '/run/soradns');
  }
}

function writeProgram(path: string, script: string): void {
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
}
