/**
 * Command lines as people write them, in the one form that the parser gets: SkyDNS's single dash (`-addr`), both ways
 * to switch something off (`--no-x`, `--x=false`), and values that begin with a dash. Pure.
 */
import type { OptionWords } from '../config/option.ts';
import { parseSwitch } from '../config/settings.ts';

export type Normalised =
  | { readonly kind: 'arguments'; readonly argv: readonly string[] }
  | { readonly kind: 'mistake'; readonly problem: string };

/** The arguments with every known option as `--name=value`; words and unknown options stay as they are. */
export function normalise(argv: readonly string[], options: readonly OptionWords[]): Normalised {
  const known = new Map(options.map((option) => [option.name, option]));
  const normal: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const token = argv[i] as string;
    if (token === '--') return { kind: 'arguments', argv: [...normal, ...argv.slice(i)] };
    const read = readOption(token, known);
    if (read === undefined) {
      // Else the parser would take `-domian=x` for seven options of one letter each.
      normal.push(/^-[A-Za-z][A-Za-z-]{2,}/.test(token) ? `-${token}` : token);
      continue;
    }
    const taken = normaliseOption(read, argv[i + 1]);
    if (taken.kind === 'mistake') return taken;
    normal.push(taken.text);
    if (taken.usedNext) i++;
  }
  return { kind: 'arguments', argv: normal };
}

interface GivenOption {
  readonly option: OptionWords;
  readonly negated: boolean;
  readonly value: string | undefined;
}

/** The option that a token sets, `undefined` for a word or an unknown option. */
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
  const negatable = opposite.form === 'switch' || (name.startsWith('no-') && value === undefined);
  return negatable ? { option: opposite, negated: true, value } : undefined;
}

type NormalisedOption =
  | { readonly kind: 'taken'; readonly text: string; readonly usedNext: boolean }
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
    return { kind: 'taken', text: `--${name}=${on !== negated}`, usedNext: false };
  }
  if (negated) return { kind: 'taken', text: `--${name}=false`, usedNext: false };
  if (value !== undefined) return { kind: 'taken', text: `--${name}=${value}`, usedNext: false };
  if (option.bareValue !== undefined && !/^[0-9]+$/.test(next ?? ''))
    return { kind: 'taken', text: `--${name}=${option.bareValue}`, usedNext: false };
  if (next === undefined || /^--[a-z]/.test(next)) {
    // SkyDNS's options without a counterpart: that they are that is more to the point.
    if ('fate' in option) return { kind: 'taken', text: `--${name}=true`, usedNext: false };
    return { kind: 'mistake', problem: `--${name}: needs a value; ${exampleOf(option)}` };
  }
  return { kind: 'taken', text: `--${name}=${next}`, usedNext: true };
}

function exampleOf(option: OptionWords): string {
  const example = 'example' in option ? String(option.example) : (option.placeholder ?? 'VALUE');
  const name = 'secret' in option ? `${option.name}-file` : option.name;
  return `for example --${name} ${example}`;
}
