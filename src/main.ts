#!/usr/bin/env node
/**
 * The process entry: gives the command line its `Io`, and exits with the command's code.
 *
 * The files that every command loads get some of Node's modules from `process.getBuiltinModule`. An import evaluates all
 * exports of such a module, and with them streams, promises or WebSockets that no command uses; on Node 26 that of
 * node:http takes twice as long as Node's own start.
 */
import { fileLimitProblem } from './app/process/openFiles.ts';
import type { Output } from './app/process/process.ts';

const problem = fileLimitProblem();
if (problem !== undefined) {
  process.stderr.write(`soradns: ${problem}\n`);
  process.exit(1);
}
resolveOwnFiles();
const [{ EXIT_CODES, Failure }, { StandardOutput }, cli, { COMMAND_TABLE }, output] =
  await Promise.all([
    import('./app/process/failure.ts'),
    import('./app/process/standardOutput.ts'),
    import('./cli/cli.ts'),
    import('./cli/commands/commands.ts'),
    import('./cli/output.ts'),
  ]);

/**
 * Spares Node the search for the program's own files, which is a third of their loading: an import of `./x.js` always
 * names the file beside it, an ES module. Node 20 lacks this.
 */
function resolveOwnFiles(): void {
  const { registerHooks } = process.getBuiltinModule('node:module') as Partial<ModuleHooks>;
  const own = new URL('.', import.meta.url).href;
  registerHooks?.({
    resolve(specifier, context, next) {
      const { parentURL = '' } = context;
      if (!/^\.\.?\/.*\.js$/.test(specifier) || !parentURL.startsWith(own))
        return next(specifier, context);
      return { url: new URL(specifier, parentURL).href, format: 'module', shortCircuit: true };
    },
  });
}

/** What `@types/node` of Node 20 lacks of node:module. */
interface ModuleHooks {
  registerHooks(hooks: { resolve: FileResolver }): void;
}

type FileResolver = (
  specifier: string,
  context: { readonly parentURL?: string },
  next: (specifier: string, context: { readonly parentURL?: string }) => ResolvedFile,
) => ResolvedFile;

interface ResolvedFile {
  readonly url: string;
  readonly format?: string;
  readonly shortCircuit?: boolean;
}

const stopping = new AbortController();
let handlesSignals = false;
let outlivesReaders = false;

function onOutputError(error: NodeJS.ErrnoException): void {
  // A server continues when the reader of its output is gone.
  if (outlivesReaders) return;
  // A reader that closes the pipe early (`| head`) is not an error.
  process.exit(error.code === 'EPIPE' ? 0 : EXIT_CODES.failure);
}

const stderr = new StandardOutput(2, onOutputError);
const stdout = new StandardOutput(1, (error) => {
  if (error.code !== 'EPIPE' && !outlivesReaders) {
    const failure = new Failure('failure', `cannot write the output: ${error.code}`);
    output.printFailure(failure, cli.asksForJson(process.argv), outputOf(stderr));
  }
  onOutputError(error);
});

function outputOf(standard: typeof stdout): Output {
  return {
    get isTty() {
      return standard.isTty;
    },
    get colour() {
      return output.wantsColour(process.env, standard.isTty);
    },
    write: (text) => standard.write(text),
  };
}

/** The first signal stops a command that handles signals; any other signal ends the process. */
function onSignal(signal: 'SIGINT' | 'SIGTERM'): void {
  if (handlesSignals && !stopping.signal.aborted) stopping.abort(signal);
  else process.exit(128 + process.getBuiltinModule('node:os').constants.signals[signal]);
}

/** An operator sends SIGHUP to reload; the kernel sends it when the terminal closes. */
function hasLostTerminal(): boolean {
  if (!stdout.isTty) return false;
  const { closeSync, openSync } = process.getBuiltinModule('node:fs');
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return false;
  } catch {
    return true;
  }
}

/** The directory from systemd, else /var/lib/soradns for root, else the state directory of the XDG base directories. */
function stateDirectory(): string {
  const [given] = (process.env.STATE_DIRECTORY ?? '').split(':');
  if (given) return given;
  if (process.getuid?.() === 0) return '/var/lib/soradns';
  const { join } = process.getBuiltinModule('node:path');
  const { homedir } = process.getBuiltinModule('node:os');
  return join(process.env.XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'soradns');
}

process.on('SIGINT', onSignal);
process.on('SIGTERM', onSignal);

const exitCode = await cli.runCli(COMMAND_TABLE, process.argv.slice(2), {
  stdout: outputOf(stdout),
  stderr: outputOf(stderr),
  env: process.env,
  readFile: output.readText,
  stateDirectory: stateDirectory(),
  stop: stopping.signal,
  handleSignals: () => {
    handlesSignals = true;
  },
  onReload: (reload) => {
    process.on('SIGHUP', () => {
      if (hasLostTerminal()) onSignal('SIGTERM');
      else reload();
    });
  },
  outliveReaders: () => {
    outlivesReaders = true;
  },
});
stdout.flush(() => stderr.flush(() => process.exit(exitCode)));
