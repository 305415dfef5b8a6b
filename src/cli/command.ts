/** What a command is: words for the command line, help and completion, and the function that does it. */
import type { Io } from '../app/process/process.ts';
import { DEFAULT_CLIENT_STORE } from '../config/config.ts';
import { type OptionWords, wordsOf } from '../config/option.ts';
import type { Arguments } from '../config/settings.ts';
import { STORE_OPTIONS } from '../config/storeOptions.ts';

export interface Command {
  readonly name: string;
  readonly summary: string;
  readonly positionals: readonly Positional[];
  readonly options: readonly OptionWords[];
  readonly examples: readonly Example[];
  /** Stands at the end of its help. */
  readonly note?: string;
  /** Gives the exit code, or throws a `Failure`. */
  run(args: Arguments, io: Io): Promise<number>;
}

export interface Positional {
  readonly name: string;
  readonly describe: string;
  readonly required: boolean;
  /** Takes all the words that are left. */
  readonly many?: boolean;
  readonly choices?: readonly string[];
}

/** A command line that works as it stands, and what it does. */
export type Example = readonly [line: string, purpose: string];

const JSON_OPTION: OptionWords = {
  name: 'json',
  form: 'switch',
  describe: 'print JSON, errors too',
};

const QUIET_OPTION: OptionWords = {
  name: 'quiet',
  short: 'q',
  form: 'switch',
  describe: 'print nothing but what was asked for',
};

export const OUTPUT_OPTIONS = [JSON_OPTION, QUIET_OPTION];

/** What every command on a store takes. */
export const CLIENT_OPTIONS: readonly OptionWords[] = [
  ...OUTPUT_OPTIONS,
  ...wordsOf(STORE_OPTIONS).map((words) =>
    words.name === 'store' ? { ...words, defaultText: DEFAULT_CLIENT_STORE } : words,
  ),
];
