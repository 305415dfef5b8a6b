/**
 * Brings a command line into the form that the parser needs: `--name=value` for every known option. Understands
 * SkyDNS's single dash (`-addr`), both forms of switching off (`--no-x`, `--x=false`), and values that begin with a
 * dash. Pure.
 */
import { type OptionWords, parseSwitch } from '../config/options/option.ts';
import type { Command } from './command.ts';

export type Normalised =
  | { readonly kind: 'arguments'; readonly argv: readonly string[] }
  | { readonly kind: 'mistake'; readonly problem: string };

/** Words and unknown options keep their form. */
export function normalise(argv: readonly string[], options: readonly OptionWords[]): Normalised {
  const known = new Map(options.map((option) => [option.name, option]));
  const normal: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const token = argv[i] as string;
    if (token === '--') return { kind: 'arguments', argv: [...normal, ...argv.slice(i)] };
    const given = readOption(token, known);
    if (given === undefined) {
      // The parser would read `-domian=x` as six options of one letter each.
      normal.push(/^-[A-Za-z][A-Za-z-]{2,}/.test(token) ? `-${token}` : token);
      continue;
    }
    const option = normaliseOption(given, argv[i + 1]);
    if (option.kind === 'mistake') return option;
    normal.push(option.text);
    if (option.usesNext) i++;
  }
  return { kind: 'arguments', argv: normal };
}

interface GivenOption {
  readonly option: OptionWords;
  readonly negated: boolean;
  readonly value: string | undefined;
}

/** The option that a token sets; undefined for a word or an unknown option. */
function readOption(
  token: string,
  known: ReadonlyMap<string, OptionWords>,
): GivenOption | undefined {
  const match = /^--?([A-Za-z][A-Za-z0-9-]+)(?:=(.*))?$/s.exec(token);
  const [, name = '', value] = match ?? [];
  const option = known.get(name);
  if (option !== undefined) return { option, negated: false, value };
  // `--no-x` for a switch x, and `--x` for a switch that is itself called no-x.
  const opposite = known.get(name.startsWith('no-') ? name.slice(3) : `no-${name}`);
  if (match === null || opposite === undefined) return undefined;
  const sets = opposite.negatable && name.startsWith('no-') && value === undefined;
  return opposite.form === 'switch' || sets
    ? { option: opposite, negated: true, value }
    : undefined;
}

type NormalisedOption =
  | { readonly kind: 'option'; readonly text: string; readonly usesNext: boolean }
  | { readonly kind: 'mistake'; readonly problem: string };

function normaliseOption(
  { option, negated, value }: GivenOption,
  next: string | undefined,
): NormalisedOption {
  const { name } = option;
  if (option.form === 'switch') {
    const on = value === undefined ? true : parseSwitch(value);
    if (on === undefined) {
      const shown = JSON.stringify(value);
      const problem = `--${name}: ${shown} is not true or false; for example --${name}=true`;
      return { kind: 'mistake', problem };
    }
    return { kind: 'option', text: `--${name}=${on !== negated}`, usesNext: false };
  }
  if (negated) return { kind: 'option', text: `--${name}=false`, usesNext: false };
  if (value !== undefined) return { kind: 'option', text: `--${name}=${value}`, usesNext: false };
  if (option.bareValue !== undefined && !/^[0-9]+$/.test(next ?? ''))
    return { kind: 'option', text: `--${name}=${option.bareValue}`, usesNext: false };
  if (next === undefined || /^--[a-z]/.test(next)) {
    // readLegacy reports an option that only SkyDNS has.
    if ('fate' in option) return { kind: 'option', text: `--${name}=true`, usesNext: false };
    return { kind: 'mistake', problem: `--${name}: needs a value; ${exampleOf(option)}` };
  }
  return { kind: 'option', text: `--${name}=${next}`, usesNext: true };
}

function exampleOf(option: OptionWords): string {
  const example = 'example' in option ? String(option.example) : (option.placeholder ?? 'VALUE');
  const name = 'secret' in option ? `${option.name}-file` : option.name;
  return `for example --${name} ${example}`;
}

/** `-` alone and negative numbers are words. */
export function isOption(token: string): boolean {
  return /^-[^0-9]/.test(token);
}

/** Whether each of the token's options, as in `--name=value`, `--n` or `-rq`, is one of the command. */
export function isOptionOf({ options }: Pick<Command, 'options'>, token: string): boolean {
  const [name = ''] = token.split('=');
  if (name.startsWith('--'))
    return options.some((option) => [option.name, option.short].includes(name.slice(2)));
  return [...name.slice(1)].every((letter) => options.some(({ short }) => short === letter));
}
