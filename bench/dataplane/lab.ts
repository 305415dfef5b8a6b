/**
 * What the measurements share: servers that start once, when the first measurement needs them, files of questions, and
 * the load generator. Every server is pinned to one core unless a measurement gives it more; the generator has another
 * core.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openFileStore } from '../../src/store/file/fileStore.ts';
import { freePort } from '../../test/support/freePort.ts';
import type { LoadResult, LoadSpec } from '../generator/load.ts';
import { type LineChild, startLineChild } from '../lineChild.ts';
import { type BenchName, benchNames, serviceValue } from '../names.ts';
import { type Cores, GENERATOR_CORE, type Running, SERVER_CORE } from '../process.ts';
import { untilLastAnswered } from '../queryClient.ts';
import { findRivalServers } from '../rivalServers.ts';
import { type Soradns, startSoradns, untilReady } from '../soradns.ts';
import { figure } from '../table.ts';
import { type QuestionKind, questionsOf } from './zone.ts';

export const NAMES = 10_000;

export interface LabOptions {
  readonly folder: string;
  readonly rounds: number;
  readonly seconds: number;
  /** The large zone's names. */
  readonly manyNames: number;
}

/** A file with a line `name TYPE` for each of `count` questions. */
export interface QuestionFile {
  readonly path: string;
  readonly count: number;
}

export interface Server {
  readonly title: string;
  readonly port: number;
  readonly running: Running;
}

export interface OurServer extends Server {
  readonly running: Soradns;
}

export interface OurOptions {
  readonly names?: number;
  /** Default: the first `names` of the bench's names. */
  readonly zone?: readonly BenchName[];
  readonly workers?: number;
  /** Default: false, so that questions for other names are refused. */
  readonly recursion?: boolean;
  readonly cores?: Cores;
  /** Undefined: the server has its own file store. */
  readonly store?: string;
  /** More options of `serve`. */
  readonly args?: readonly string[];
  readonly nodeArgs?: readonly string[];
  /** `main.js` of another build. */
  readonly program?: string;
}

const PUTS_AT_ONCE = 2000;

export class Lab {
  readonly options: LabOptions;
  readonly generator: LineChild<LoadSpec, LoadResult>;
  /** Functions to call when the lab closes, the latest first. */
  readonly #closing: (() => Promise<void>)[] = [];
  readonly #shared = new Map<string, Promise<unknown>>();
  readonly #files = new Map<string, QuestionFile>();
  #folders = 0;

  constructor(options: LabOptions) {
    this.options = options;
    this.generator = this.child<LoadSpec, LoadResult>('generator/main.ts', GENERATOR_CORE);
  }

  /** Starts a program of the bench that ends with the lab. */
  child<Request, Answer>(path: string, cores: Cores): LineChild<Request, Answer> {
    const child = startLineChild<Request, Answer>(path, cores);
    this.#closing.unshift(() => child.close());
    return child;
  }

  /** Makes the value of a key once. A failure rejects every caller's promise. */
  once<T>(key: string, make: () => Promise<T>): Promise<T> {
    const made = (this.#shared.get(key) as Promise<T> | undefined) ?? make();
    this.#shared.set(key, made);
    return made;
  }

  /** Calls `close` when the lab closes. */
  atEnd(close: () => Promise<void>): void {
    this.#closing.unshift(close);
  }

  async close(): Promise<void> {
    for (const close of this.#closing) await close().catch(console.error);
  }

  /** Writes the file at the first call. */
  questions(kind: QuestionKind, names: number = NAMES): QuestionFile {
    const path = join(this.options.folder, `${kind}-${names}`);
    const written = this.#files.get(path);
    if (written !== undefined) return written;
    const text = questionsOf(kind, benchNames(names));
    writeFileSync(path, text);
    const file = { path, count: text.split('\n').length - 1 };
    this.#files.set(path, file);
    return file;
  }

  /** A new folder for one server. */
  newFolder(title: string): string {
    const path = join(this.options.folder, `${title.replace(/\W+/g, '-')}-${this.#folders++}`);
    mkdirSync(path);
    return path;
  }

  /** A soradns server on one core with one worker and the small zone, for most measurements. */
  ours(): Promise<OurServer> {
    return this.once('soradns', () => this.startOurs({}));
  }

  /** The same server with the large zone. */
  large(): Promise<OurServer> {
    return this.once('large', () => this.startOurs({ names: this.options.manyNames }));
  }

  /** Starts a soradns server and waits until it answers its last name. */
  async startOurs(options: OurOptions): Promise<OurServer> {
    const { names = NAMES, workers = 1, cores = SERVER_CORE, nodeArgs = [] } = options;
    const cwd = this.newFolder('soradns');
    const zone = options.zone ?? benchNames(names);
    const store = options.store ?? `file:${await fillStore(join(cwd, 'store'), zone)}`;
    const recursion = options.recursion === true ? [] : ['--no-rec'];
    const args = [...recursion, '--workers', String(workers), ...(options.args ?? [])];
    const program = options.program === undefined ? {} : { program: options.program };
    const running = await startSoradns({ cwd, store, core: cores, args, nodeArgs, ...program });
    this.atEnd(() => running.stop());
    await untilReady(running);
    await untilLastAnswered(running.port, zone);
    return { title: 'soradns', port: running.port, running };
  }

  /** The rival servers that are installed here and answer correctly. */
  peers(): Promise<Server[]> {
    return this.once('peers', async () => {
      const names = benchNames(NAMES);
      const servers: Server[] = [];
      for (const { title, start } of findRivalServers()) {
        const port = await freePort();
        const running = await start(names, port, this.newFolder(title));
        this.atEnd(() => running.stop());
        try {
          await untilLastAnswered(port, names);
          servers.push({ title, port, running });
        } catch (error) {
          console.error(`${title} is left out: ${error}\n${running.output()}`);
        }
      }
      return servers;
    });
  }

  /** The peer whose title begins with `title`. */
  async peer(title: string): Promise<Server> {
    const found = (await this.peers()).find((server) => server.title.startsWith(title));
    if (found === undefined) throw new Error(`${title} is not installed, or does not answer`);
    return found;
  }
}

/** Makes an embedded store that holds the names; returns its folder. */
export async function fillStore(folder: string, names: readonly BenchName[]): Promise<string> {
  const began = performance.now();
  const store = await openFileStore(folder);
  const left = names.values();
  const fill = async (): Promise<void> => {
    for (const { key, address } of left) await store.put(key, Buffer.from(serviceValue(address)));
  };
  await Promise.all(Array.from({ length: PUTS_AT_ONCE }, fill));
  await store.close();
  const seconds = (performance.now() - began) / 1000;
  console.error(`a store with ${figure(names.length)} names in ${figure(seconds, 1)} s`);
  return folder;
}
