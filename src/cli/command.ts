/** A command: its words for the command line, help and completion, and the function that runs it. */
import type { Io } from '../app/process/process.ts';
import { DEFAULT_CLIENT_STORE } from '../config/config.ts';
import { type OptionWords, wordsOf } from '../config/options/option.ts';
import { STORE_OPTIONS } from '../config/options/storeOptions.ts';
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

/** The options of every command on a store. */
export const CLIENT_OPTIONS: readonly OptionWords[] = [
  ...OUTPUT_OPTIONS,
  ...wordsOf(STORE_OPTIONS).map((words) =>
    words.name === 'store' ? { ...words, defaultText: DEFAULT_CLIENT_STORE } : words,
  ),
];
