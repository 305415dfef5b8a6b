/**
 * Reads a set of option rows from their sources in order of precedence: flag, environment, config file, default. Pure:
 * the caller provides the function that reads files. All mistakes are collected, and each names its source and the fix.
 */
import { excerpt } from '../observability/printable.ts';
import {
  fileKeysOf,
  type NamedOption,
  type Option,
  type OptionForm,
  type OptionValues,
  parseSwitch,
  variablesOf,
} from './options/option.ts';

export type Origin = 'flag' | 'environment' | 'file' | 'default';

export type Origins<Rows> = { readonly [Field in keyof Rows]: Origin };

/** The content of a file, and whether every user may read it; or why it could not be read. */
export type TextFileReader = (
  path: string,
) => { readonly text: string; readonly isForAll?: boolean } | { readonly problem: string };

export interface Sources {
  /** Values by option name, from the command line. */
  readonly flags: Readonly<Record<string, FlagValue>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The parsed config file, and its path for messages. */
  readonly file: ConfigFile | undefined;
  readonly readFile: TextFileReader;
}

export type FlagValue = string | boolean | readonly string[];

/** A parsed command line. */
export interface Arguments {
  /** The given options by name. */
  readonly flags: Readonly<Record<string, FlagValue>>;
  /** In the order of the command's `positionals`. */
  readonly words: readonly string[];
}

export interface ConfigFile {
  readonly path: string;
  readonly values: Readonly<Record<string, unknown>>;
}

export interface ReadSettings<Rows> {
  readonly settings: OptionValues<Rows>;
  readonly origins: Origins<Rows>;
  /** One line each: the source, the problem and the fix. */
  readonly mistakes: readonly string[];
}

/** Option rows with values of any type. */
export type Rows = Readonly<Record<string, Option<unknown>>>;

export interface GivenValue {
  readonly origin: Origin;
  /** Its source in a message: `--ttl`, `SORADNS_TTL`, `ttl in x.json`. */
  readonly setBy: string;
  readonly raw: unknown;
}

export function readSettings<R extends Rows>(rows: R, sources: Sources): ReadSettings<R> {
  const settings: Record<string, unknown> = {};
  const origins: Record<string, Origin> = {};
  const mistakes: string[] = [];
  for (const [field, row] of Object.entries(rows)) {
    const found = findValue(row, sources);
    const variable = found?.origin === 'environment' ? found.setBy : undefined;
    const value = found === undefined ? undefined : parseValue(row, found.raw, variable);
    settings[field] = value?.kind === 'value' ? value.value : row.fallback;
    origins[field] = found?.origin ?? 'default';
    if (found !== undefined && value?.kind === 'mistake')
      mistakes.push(`${found.setBy}: ${value.problem}`);
  }
  return { settings: settings as OptionValues<R>, origins: origins as Origins<R>, mistakes };
}

/** Messages show at most this many characters of a wrong value or name. */
export const MAX_SHOWN = 200;

export type ParsedValue =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'mistake'; readonly problem: string };

/**
 * A value from its raw form (text, list, JSON number or boolean). The problem contains a valid example, with the
 * variable that was set, or else with the flag.
 */
export function parseValue(row: Option<unknown>, raw: unknown, variable?: string): ParsedValue {
  if (raw instanceof Unreadable) return { kind: 'mistake', problem: raw.problem };
  if (row.form === 'text' && Array.isArray(raw))
    return { kind: 'mistake', problem: 'is given more than once; give it once' };
  const parsed = row.schema(inForm(row.form, raw));
  if (parsed !== undefined) return { kind: 'value', value: parsed.value };
  const flag = `--${row.secret ? `${row.name}-file` : row.name}${row.form === 'switch' ? '=' : ' '}`;
  const example = `${variable === undefined ? flag : `${variable}=`}${row.example}`;
  // Even an invalid secret is not shown.
  const shown = row.secret ? 'the value' : excerpt(JSON.stringify(raw), MAX_SHOWN);
  return {
    kind: 'mistake',
    problem: `${shown} is not ${row.expects}; for example ${example}`,
  };
}

/** The value as the row's schema takes it: a string, a list of strings or a boolean. The schema refuses other types. */
function inForm(form: OptionForm, raw: unknown): unknown {
  switch (form) {
    case 'text':
      return typeof raw === 'number' || typeof raw === 'boolean' ? String(raw) : raw;
    case 'list':
      if (typeof raw === 'string') return raw.split(',').map((item) => item.trim());
      if (!Array.isArray(raw)) return raw;
      return raw.flatMap((item) => (typeof item === 'string' ? inForm('list', item) : [item]));
    case 'switch':
      return typeof raw === 'string' ? parseSwitch(raw) : raw;
  }
}

/** The value of an option from the source with the highest precedence; undefined if no source sets it. */
export function findValue(row: Option<unknown>, sources: Sources): GivenValue | undefined {
  return findFlag(row, sources) ?? findVariable(row, sources) ?? findInFile(row, sources);
}

function findFlag(row: Option<unknown>, { flags, readFile }: Sources): GivenValue | undefined {
  const given = flags[row.name];
  if (given !== undefined) {
    const raw = row.secret ? new Unreadable(exposed(row)) : given;
    return { origin: 'flag', setBy: `--${row.name}`, raw };
  }
  const path = row.secret ? flags[`${row.name}-file`] : undefined;
  if (path === undefined) return undefined;
  return { origin: 'flag', setBy: `--${row.name}-file`, raw: secretFrom(row, path, readFile) };
}

function findVariable(row: Option<unknown>, { env, readFile }: Sources): GivenValue | undefined {
  for (const name of variablesOf(row)) {
    if (env[name]) return { origin: 'environment', setBy: name, raw: env[name] };
    const path = row.secret ? env[`${name}_FILE`] : undefined;
    if (path) {
      return { origin: 'environment', setBy: `${name}_FILE`, raw: secretFrom(row, path, readFile) };
    }
  }
  return undefined;
}

function findInFile(row: Option<unknown>, { file, readFile }: Sources): GivenValue | undefined {
  if (file === undefined) return undefined;
  for (const key of fileKeysOf(row)) {
    const raw = file.values[key];
    if (raw === undefined || raw === null) continue;
    const setBy = `${key} in ${file.path}`;
    const isPath = row.secret && /[-_]file$/.test(key);
    return { origin: 'file', setBy, raw: isPath ? secretFrom(row, raw, readFile) : raw };
  }
  return undefined;
}

/** Why a secret is refused on the command line, and where to put it instead. */
function exposed(row: NamedOption): string {
  const [variable] = variablesOf(row);
  return `${EXPOSED}; give --${row.name}-file FILE or the variable ${variable}`;
}

export const EXPOSED = 'every user of this host can read the command line';

/** Stands for a value whose file cannot be read, or whose source is not safe. */
class Unreadable {
  readonly problem: string;
  constructor(problem: string) {
    this.problem = problem;
  }
}

function secretFrom(
  { isPrivate }: Pick<Option<unknown>, 'isPrivate'>,
  path: unknown,
  readFile: TextFileReader,
): unknown {
  if (typeof path !== 'string') return new Unreadable('needs the path of one file');
  const content = readFile(path);
  if ('problem' in content) {
    return new Unreadable(`cannot read ${path} (${content.problem}); name a readable file`);
  }
  if (isPrivate === true && content.isForAll === true) {
    return new Unreadable(`every user may read ${path}; change that with chmod o= ${path}`);
  }
  const text = content.text.trim();
  return text === '' ? new Unreadable(`${path} is empty; put the text into it`) : text;
}
