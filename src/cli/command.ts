/** A command: its words for the command line, help and completion, and the function that runs it. */
import type { Io } from '../app/process/process.ts';
import type { OptionWords } from '../config/options/option.ts';
import type { Arguments } from '../config/settings.ts';

export interface Command {
  readonly name: string;
  readonly summary: string;
  readonly positionals: readonly Positional[];
  readonly options: readonly OptionWords[];
  readonly examples: readonly Example[];
  /** The end of its help. */
  readonly note?: string;
  /** Returns the exit code, or throws a `Failure`. */
  run(args: Arguments, io: Io): Promise<number>;
}

export interface Positional {
  readonly name: string;
  readonly describe: string;
  readonly required: boolean;
  /** Takes all remaining words. */
  readonly many?: boolean;
  readonly choices?: readonly string[];
}

/** A command line that works without changes, and its purpose. */
export type Example = readonly [line: string, purpose: string];

const JSON_OPTION: OptionWords = {
  name: 'json',
  form: 'switch',
  describe: 'print JSON, including errors',
};

const QUIET_OPTION: OptionWords = {
  name: 'quiet',
  short: 'q',
  form: 'switch',
  describe: 'print only the result',
};

export const OUTPUT_OPTIONS = [JSON_OPTION, QUIET_OPTION];

/** A command whose file is not loaded yet. */
export interface CommandEntry {
  readonly name: string;
  load(): Promise<Command>;
}

/** The commands of the entries, in their order. */
export function loadCommands(entries: readonly CommandEntry[]): Promise<readonly Command[]> {
  return Promise.all(entries.map((entry) => entry.load()));
}
