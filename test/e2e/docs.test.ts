/**
 * The sessions of the pages that need Docker, on a Docker host of their own: the commands run on that host as root, as
 * a reader would type them. Each page starts without containers and names.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import type { Dockerd } from '../support/dockerd.ts';
import { commandPath } from '../support/dockerImages.ts';
import { useDockerd } from '../support/dockerTest.ts';
import { allPages, type Block, blocksOf } from '../support/pages.ts';
import { standInForPublicImages } from '../support/publicImages.ts';
import { playSession, type Retries, type Shell, shellIn } from '../support/session.ts';
import { PROJECT, standInForEtcd } from '../support/standIns.ts';
import { until } from '../support/until.ts';

/**
 * Answers follow changes with a delay, so commands that create nothing may be repeated until they print what the page
 * shows.
 */
const RETRIES: Retries = {
  of: /^(?:dig|curl|docker (?:run --rm|compose -p \w+ run --rm)|soradns (?:registrar|ls|query|doctor)) /,
  timeoutMs: 30_000,
};
const COMMAND_TIMEOUT_MS = 120_000;
const END_TIMEOUT_MS = 20_000;

const docker = useDockerd();
let hasImages = false;

for (const { path, text } of allPages()) {
  const blocks = blocksOf(text);
  if (!blocks.some(({ attributes }) => attributes.get('on') === 'docker')) continue;
  test(
    `Every session of ${path} that needs Docker prints what the page shows`,
    docker.options,
    docker.on(async (dockerd) => {
      if (!hasImages) await standInForPublicImages(dockerd);
      hasImages = true;
      const etcd = /\S+\/etcd:v\S+/.exec(text)?.[0];
      if (etcd !== undefined) await standInForEtcd(dockerd.cli, etcd);
      const reader = new Reader(dockerd);
      try {
        for (const block of blocks) await reader.follow(path, block);
      } finally {
        await reader.leave();
      }
    }),
  );
}

/** A reader who follows a page on the Docker host, in a temporary folder. */
class Reader {
  readonly #folder = mkdtempSync(join(tmpdir(), 'soradns-page-'));
  readonly #dockerd: Dockerd;
  readonly #env: NodeJS.ProcessEnv;
  readonly #shell: Shell;
  #background: { readonly child: ChildProcess; readonly output: string[] }[] = [];

  constructor(dockerd: Dockerd) {
    this.#dockerd = dockerd;
    const programs = join(this.#folder, 'programs');
    mkdirSync(programs);
    const main = join(PROJECT, 'dist/main.js');
    writeProgram(join(programs, 'soradns'), `exec "${process.execPath}" "${main}" "$@"`);
    // In Debian's package, compose is a separate program.
    writeProgram(
      join(programs, 'docker'),
      `if [ "$1" = compose ]; then shift; exec docker-compose "$@"; fi\nexec "${commandPath('docker')}" "$@"`,
    );
    this.#env = {
      ...process.env,
      PATH: `${programs}:${process.env.PATH}:/usr/sbin:/sbin`,
      HOME: this.#folder,
      DOCKER_HOST: dockerd.host,
      DOCKER_CONFIG: join(this.#folder, 'cli'),
      STATE_DIRECTORY: join(this.#folder, 'state'),
      NO_COLOR: '1',
    };
    const run = shellIn({
      folder: this.#folder,
      env: this.#env,
      onHost: (...command) => dockerd.onHost(...command),
      timeoutMs: COMMAND_TIMEOUT_MS,
    });
    this.#shell = async (command) => {
      const { code, printed } = await run(this.#here(command));
      return { code, printed: this.#asInPages(printed) };
    };
  }

  async follow(path: string, block: Block): Promise<void> {
    const { attributes, language, text } = block;
    const file = attributes.get('file');
    if (file !== undefined) writeFileSync(join(this.#folder, file), text);
    if (attributes.get('on') !== 'docker') return;
    if (attributes.has('background')) {
      if (attributes.get('background') === 'again') await this.#endBackground();
      await this.#start(text);
    } else if (language === 'console') {
      await playSession(path, block, this.#shell, RETRIES, () => this.#output());
    }
  }

  async leave(): Promise<void> {
    await this.#endBackground();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Starts the commands, and waits until they log something. Throws if they end. */
  async #start(commands: string): Promise<void> {
    const script = `cd "${this.#folder}"\n${this.#here(commands).replace(/^(soradns )/m, 'exec $1')}`;
    const [command, ...args] = this.#dockerd.onHost('bash', '-ec', script);
    const child = spawn(command, args, { env: this.#env, stdio: ['ignore', 'pipe', 'pipe'] });
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

  #here(text: string): string {
    return text
      .replaceAll('10.0.0.1', this.#dockerd.address)
      .replaceAll('/run/soradns', join(this.#folder, 'run'));
  }

  #asInPages(text: string): string {
    return text
      .replaceAll(this.#dockerd.address, '10.0.0.1')
      .replaceAll(join(this.#folder, 'run'), '/run/soradns');
  }
}

function writeProgram(path: string, script: string): void {
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
}
