/**
 * What is known of an option. Each is written down once, as a row: the command line, the environment, the config file,
 * `/skydns/config`, help and shell completion are all read off the rows. The key of a row is the field it fills.
 */
import { z } from 'zod';
import { foldName, type Name, parseName } from '../dns/name.ts';

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

/**
 * The forms that option values take, each from text to a typed value. A schema says only whether the text is one; the
 * sentence that tells a person what was expected stands in the option's row (serveOptions.ts, storeOptions.ts).
 */

/** A value that must not get into logs, JSON or error texts; only `reveal` gives it away. */
export class Secret {
  readonly #text: string;
  constructor(text: string) {
    this.#text = text;
  }
  reveal(): string {
    return this.#text;
  }
  toJSON(): string {
    return '[secret]';
  }
  toString(): string {
    return '[secret]';
  }
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '[secret]';
  }
}

/** A schema from a parser that gives `undefined` for what it does not understand. */
export function parsedBy<T>(parse: (text: string) => T | undefined): z.ZodType<T> {
  return z.string().transform((text, context) => {
    const value = parse(text.trim());
    if (value !== undefined) return value;
    context.addIssue({ code: 'custom', message: 'not understood' });
    return z.NEVER;
  });
}

export function listOf<T>(item: z.ZodType<T>): z.ZodType<readonly T[]> {
  return z.array(item).min(1);
}

export const switchValue: z.ZodType<boolean> = z.boolean();

export function wholeNumberValue(min: number, max: number): z.ZodType<number> {
  return z
    .string()
    .regex(/^\s*[0-9]+\s*$/)
    .transform(Number)
    .pipe(z.number().int().min(min).max(max));
}

export function oneOfValue<const T extends string>(...words: readonly T[]): z.ZodType<T> {
  return z.enum(words);
}

export const secretText: z.ZodType<Secret> = parsedBy((text) =>
  text === '' ? undefined : new Secret(text),
);

export const plainText: z.ZodType<string> = parsedBy((text) => (text === '' ? undefined : text));

/** A domain that keys can be made of: lower case, labels without `/`, blanks, control octets or wildcards. */
export function parseDomain(text: string): Name | undefined {
  const name = parseName(text);
  if (name === undefined || text === '' || (name.length === 0 && text !== '.')) return undefined;
  return name.every((label) => /^[!-.0-~\x80-\xff]+$/.test(label) && label !== '*')
    ? foldName(name)
    : undefined;
}

/** An RNAME from `hostmaster@example.org` or, as a zone file has it, `hostmaster.example.org` (RFC 1035 §8). */
export function parseMailbox(text: string): Name | undefined {
  const at = text.indexOf('@');
  if (at < 0) return parseDomain(text);
  const domain = parseDomain(text.slice(at + 1));
  const local = text.slice(0, at);
  if (domain === undefined || local === '' || local.length > 63) return undefined;
  return /^[!-~]+$/.test(local) ? [local, ...domain] : undefined;
}

/** The components in front of every key, without slashes at the ends: `skydns`, `skydns/blue`. */
export function parsePathPrefix(text: string): string | undefined {
  const prefix = text.replace(/^\/+|\/+$/g, '');
  const valid = /^[!-.0-~]+(\/[!-.0-~]+)*$/.test(prefix);
  return valid && !prefix.split('/').some((part) => part === '.' || part === '..')
    ? prefix
    : undefined;
}

/** A number of log lines a second; `false` is 0 and `true` is 100. */
export function parseLinesPerSecond(text: string): number | undefined {
  if (text === 'false' || text === 'off') return 0;
  if (text === 'true' || text === 'on') return 100;
  return /^[0-9]{1,6}$/.test(text) ? Number(text) : undefined;
}

/** Whether two option values say the same: scalars, secrets, and lists and plain objects of them. */
export function isSameValue(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (a instanceof Secret && b instanceof Secret) return a.reveal() === b.reveal();
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  const [one, other] = [Object.entries(a), Object.entries(b)];
  if (Array.isArray(a) !== Array.isArray(b) || one.length !== other.length) return false;
  const values = new Map(other);
  return one.every(([key, value]) => values.has(key) && isSameValue(value, values.get(key)));
}
