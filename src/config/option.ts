/**
 * What is known of an option. Each is written down once, as a row: the command line, the environment, the config file,
 * `/skydns/config`, help and shell completion are all read off the rows. The key of a row is the field it fills.
 */
import type { z } from 'zod';

/** `text` takes one value, `list` repeats and splits at commas, `switch` is on, off (`--no-x`, `--x=false`) or absent. */
export type OptionForm = 'text' | 'list' | 'switch';

/** What the command line, help and completion need to know of an option. */
export interface OptionWords {
  /** As in `--name`. */
  readonly name: string;
  readonly form: OptionForm;
  readonly describe: string;
  /** Stands for the value in help: `IP:PORT`, `SECONDS`. */
  readonly placeholder?: string;
  readonly short?: string;
  readonly choices?: readonly string[];
  /** The default as help shows it. */
  readonly defaultText?: string;
  /** The value of the option given alone; such an option takes one only after `=` or as digits. */
  readonly bareValue?: string;
  readonly hidden?: boolean;
  /** Heads the options that stand together in help; without one they are with all others. */
  readonly group?: string;
}

/** An option that the environment and the config file can set as well. */
export interface Option<T> extends OptionWords {
  readonly schema: z.ZodType<T>;
  readonly fallback: T;
  /** What a value has to be, after "is not": `whole seconds from 1 to 2147483647`. */
  readonly expects: string;
  /** A value that works, for the message about one that does not. */
  readonly example: string;
  /** SkyDNS's variables, besides `SORADNS_<NAME>`. */
  readonly env?: readonly string[];
  /** SkyDNS's JSON keys; they count in the config file and, if the option is not `fixedAtStart`, in `/skydns/config`. */
  readonly jsonKeys?: readonly string[];
  /** It is needed before the store is read, so nothing in the store can set it. */
  readonly fixedAtStart?: boolean;
  /** A change of it counts as soon as the configuration is read again; that of any other waits for the next start. */
  readonly live?: boolean;
  /** The value may also come from a file: `--name-file`, `SORADNS_NAME_FILE`. */
  readonly secret?: boolean;
}

/** The typed values of a set of rows. */
export type OptionValues<Rows> = {
  readonly [Field in keyof Rows]: Rows[Field] extends Option<infer T> ? T : never;
};

/** The row, with its type found from its schema. */
export function option<T>(row: Option<T>): Option<T> {
  return row;
}

/** The words of option rows. A secret has two; the one that would show it on the command line is only known to be refused. */
export function wordsOf(rows: Readonly<Record<string, Option<unknown>>>): readonly OptionWords[] {
  return Object.values(rows).flatMap((row): OptionWords[] =>
    row.secret
      ? [
          { ...row, hidden: true },
          {
            name: `${row.name}-file`,
            form: 'text',
            placeholder: 'FILE',
            describe: `file that holds the ${row.name}`,
          },
        ]
      : [row],
  );
}

/** An option by its names. */
export type NamedOption = Pick<OptionWords, 'name'> & {
  readonly env?: readonly string[];
  readonly jsonKeys?: readonly string[];
  readonly secret?: boolean;
};

/** The environment variables that set an option, ours first. */
export function variablesOf(row: NamedOption): readonly string[] {
  return [`SORADNS_${row.name.toUpperCase().replaceAll('-', '_')}`, ...(row.env ?? [])];
}

/** The keys that set an option in the config file: its name with `-` or `_`, and SkyDNS's. */
export function fileKeysOf(row: NamedOption): readonly string[] {
  const names = row.secret ? [row.name, `${row.name}-file`] : [row.name];
  const spellings = names.flatMap((name) => [name, name.replaceAll('-', '_')]);
  return [...new Set([...spellings, ...(row.jsonKeys ?? [])])];
}
