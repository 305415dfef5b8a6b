/**
 * Runs commands in the language of nft: in this process by the library of nftables, or by the program `nft` where only
 * that is installed. A call takes from half a millisecond (library) or 20 ms (program) to seconds, and the thread
 * waits.
 */
import { spawnSync } from 'node:child_process';
import { loadKoffi } from './libc.ts';

export type NftOpened =
  | { readonly kind: 'nft'; readonly nft: Nft }
  /** `reason` has no full stop. */
  | { readonly kind: 'missing'; readonly reason: string };

export type NftOutcome =
  | { readonly kind: 'done' }
  /** Nothing has changed. `reason` is the first line of nft's message. */
  | { readonly kind: 'refused'; readonly reason: string };

export interface Nft {
  /** What runs the commands, for the operator. */
  readonly by: 'libnftables' | 'nft';
  /** Runs the commands as one transaction. */
  run(commands: string): NftOutcome;
  /** Says whether `run` would succeed, and changes nothing. */
  check(commands: string): NftOutcome;
  close(): void;
}

/** libnftables 0.9 and newer. */
const LIBRARY = 'libnftables.so.1';
const PROGRAM = 'nft';
const PROGRAM_TIMEOUT_MS = 60_000;
const MAX_REASON = 300;

/** Tests set the file of the library. */
export function openNft(library: string = LIBRARY): NftOpened {
  const byLibrary = openLibrary(library);
  if (byLibrary.kind === 'nft') return byLibrary;
  const { error } = spawnSync(PROGRAM, ['--version'], { stdio: 'ignore' });
  if (error === undefined) return { kind: 'nft', nft: new NftProgram() };
  const reason = `${byLibrary.reason}, and the program ${PROGRAM} is not installed`;
  return { kind: 'missing', reason };
}

function openLibrary(library: string): NftOpened {
  const loaded = loadKoffi();
  if (loaded.kind === 'missing') return loaded;
  try {
    const functions = bindLibrary(loaded.koffi, library);
    const context = functions.create(NO_FLAGS);
    if (context === null) return { kind: 'missing', reason: `${library} has no netlink socket` };
    return { kind: 'nft', nft: new NftLibrary(functions, context) };
  } catch {
    return { kind: 'missing', reason: `${library} cannot be loaded` };
  }
}

const NO_FLAGS = 0;

/** koffi's form of `struct nft_ctx *`. */
type Context = unknown;

interface LibraryFunctions {
  create(flags: number): Context | null;
  keepOutput(context: Context): number;
  keepErrors(context: Context): number;
  errors(context: Context): string | null;
  setDryRun(context: Context, isDry: boolean): void;
  run(context: Context, commands: string): number;
  free(context: Context): void;
}

function bindLibrary(koffi: typeof import('koffi'), file: string): LibraryFunctions {
  const library = koffi.load(file);
  const pointer = 'void *';
  return {
    create: library.func('nft_ctx_new', pointer, ['uint32']),
    keepOutput: library.func('nft_ctx_buffer_output', 'int', [pointer]),
    keepErrors: library.func('nft_ctx_buffer_error', 'int', [pointer]),
    errors: library.func('nft_ctx_get_error_buffer', 'str', [pointer]),
    setDryRun: library.func('nft_ctx_set_dry_run', 'void', [pointer, 'bool']),
    run: library.func('nft_run_cmd_from_buffer', 'int', [pointer, 'str']),
    free: library.func('nft_ctx_free', 'void', [pointer]),
  };
}

class NftLibrary implements Nft {
  readonly by = 'libnftables';
  readonly #functions: LibraryFunctions;
  readonly #context: Context;

  constructor(functions: LibraryFunctions, context: Context) {
    this.#functions = functions;
    this.#context = context;
    // Otherwise the library prints.
    functions.keepOutput(context);
    functions.keepErrors(context);
  }

  run(commands: string): NftOutcome {
    const { run, errors } = this.#functions;
    if (run(this.#context, commands) === 0) return { kind: 'done' };
    return { kind: 'refused', reason: reasonIn(errors(this.#context) ?? '') };
  }

  check(commands: string): NftOutcome {
    this.#functions.setDryRun(this.#context, true);
    try {
      return this.run(commands);
    } finally {
      this.#functions.setDryRun(this.#context, false);
    }
  }

  close(): void {
    this.#functions.free(this.#context);
  }
}

class NftProgram implements Nft {
  readonly by = 'nft';

  run(commands: string): NftOutcome {
    return this.#spawn(['-f', '-'], commands);
  }

  check(commands: string): NftOutcome {
    return this.#spawn(['-c', '-f', '-'], commands);
  }

  close(): void {}

  #spawn(args: readonly string[], input: string): NftOutcome {
    const { status, stderr, error } = spawnSync(PROGRAM, args, {
      input,
      encoding: 'utf8',
      timeout: PROGRAM_TIMEOUT_MS,
      stdio: ['pipe', 'ignore', 'pipe'],
    });
    if (status === 0) return { kind: 'done' };
    return { kind: 'refused', reason: error?.message ?? reasonIn(stderr) };
  }
}

/** nft's message without the place in the commands, which are not the operator's. */
function reasonIn(errors: string): string {
  const [line = ''] = errors.split('\n');
  return line.replace(/^.*?Error: /, '').slice(0, MAX_REASON) || 'nft gives no reason';
}
