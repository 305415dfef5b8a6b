/**
 * config/options/: Every option as one row of a table, and the forms of their values.
 * Imports: dns, dnstap, forward, forward/domains, service, transfer.
 * Used by: app, app/ambassador, app/answering, app/process, cli, cli/commands, cli/host, cli/linking, cli/signing,
 *   config, registrar/describe, registrar/links, registrar/registrator, tools/doctor/ambassador.
 *
 * An option as one row: the command line, the environment, the config file, `/skydns/config`, help, docs and shell
 * completion are all made from the rows. The key of a row is the field of the configuration that it fills.
 */
import type { ValueReader } from './valueForms.ts';

/**
 * `text` takes one value, `list` repeats and splits at commas, `switch` is on, off (`--no-x`, `--x=false`) or absent.
 */
export type OptionForm = 'text' | 'list' | 'switch';

/** What the command line, help and completion need. */
export interface OptionWords {
  /** Without the dashes. */
  readonly name: string;
  readonly form: OptionForm;
  readonly describe: string;
  /** The value in help: `IP:PORT`, `SECONDS`. */
  readonly placeholder?: string;
  readonly short?: string;
  readonly choices?: readonly string[];
  /** The default in help. */
  readonly defaultText?: string;
  /** The value of the option without a value; such an option takes a value only after `=`, or as digits. */
  readonly bareValue?: string;
  /** The option takes the value `false`, so `--no-x` sets it. A switch always does. */
  readonly negatable?: boolean;
  readonly hidden?: boolean;
  /** The heading in help; `Options:` without one. */
  readonly group?: string;
}

/** An option that the environment and the config file can also set. */
export interface Option<T> extends OptionWords {
  /** Its values are scalars, secrets, or lists and plain objects of them, which `isSameValue` can compare. */
  readonly schema: ValueReader<T>;
  readonly fallback: T;
  /** What a value must be, after "is not": `whole seconds from 1 to 2147483647`. */
  readonly expects: string;
  /** A valid value, for the message about an invalid one. */
  readonly example: string;
  /** SkyDNS's variables, besides `SORADNS_<NAME>`. */
  readonly env?: readonly string[];
  /** SkyDNS's JSON keys, for the config file and, unless the option is `fixedAtStart`, for `/skydns/config`. */
  readonly jsonKeys?: readonly string[];
  /** The server needs it before it reads the store, so the store cannot set it. */
  readonly fixedAtStart?: boolean;
  /** A reload applies a change of it. Other options change at a restart. */
  readonly live?: boolean;
  /** The value may also come from a file: `--name-file`, `SORADNS_NAME_FILE`. */
  readonly secret?: boolean;
  /** A file with the secret that every user may read is refused. */
  readonly isPrivate?: boolean;
}

/** The typed values of a set of rows. */
export type OptionValues<Rows> = {
  readonly [Field in keyof Rows]: Rows[Field] extends Option<infer T> ? T : never;
};

/** The row; checks its type. */
export function option<T>(row: Option<T>): Option<T> {
  return row;
}

/** The rows with a prefix before their names, below a heading of help, and without variables of other programs. */
export function prefixed<R extends Readonly<Record<string, Option<unknown>>>>(
  rows: R,
  prefix: string,
  group: string,
): R {
  const renamed = Object.entries(rows).map(([field, { env: _, ...row }]) => [
    field,
    { ...row, name: `${prefix}${row.name}`, group } satisfies Option<unknown>,
  ]);
  return Object.fromEntries(renamed) as R;
}

/** The words of option rows. A secret becomes `--name-file`, and a hidden `--name` that is refused with a hint. */
export function wordsOf(rows: Readonly<Record<string, Option<unknown>>>): readonly OptionWords[] {
  return Object.values(rows).flatMap((row): OptionWords[] =>
    row.secret
      ? [
          { ...row, hidden: true },
          {
            name: `${row.name}-file`,
            form: 'text',
            placeholder: 'FILE',
            describe: `file with the ${row.describe}`,
          },
        ]
      : [row],
  );
}

/** Undefined if the text is neither yes nor no. */
export function parseSwitch(text: string): boolean | undefined {
  if (/^(true|1|yes|on)$/i.test(text)) return true;
  return /^(false|0|no|off)$/i.test(text) ? false : undefined;
}

/** The names of an option. */
export type NamedOption = Pick<OptionWords, 'name'> & {
  readonly env?: readonly string[];
  readonly jsonKeys?: readonly string[];
  readonly secret?: boolean;
};

/** The environment variables that set an option, soradns's own first. */
export function variablesOf(row: NamedOption): readonly string[] {
  return [`SORADNS_${row.name.toUpperCase().replaceAll('-', '_')}`, ...(row.env ?? [])];
}

/** The keys that set an option in the config file: its name with `-` or `_`, and SkyDNS's. */
export function fileKeysOf(row: NamedOption): readonly string[] {
  const names = row.secret ? [row.name, `${row.name}-file`] : [row.name];
  const spellings = names.flatMap((name) => [name, name.replaceAll('-', '_')]);
  return [...new Set([...spellings, ...(row.jsonKeys ?? [])])];
}
