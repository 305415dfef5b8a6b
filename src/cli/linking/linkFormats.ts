/**
 * Prints the variables of links for the programs that take them: env files, shells, `docker run`. Texts in the store may
 * be hostile: a variable that a format cannot carry unchanged, or whose value could control a terminal, is left out.
 */
import type { Variable } from '../../ambassador/linkVariables.ts';
import { addressFamily } from '../../dns/address.ts';
import { printable } from '../../observability/printable.ts';
import { jsonLine } from '../output.ts';

export const LINK_FORMATS = ['env', 'docker', 'sh', 'json'] as const;
export type LinkFormat = (typeof LINK_FORMATS)[number];

/** A link with its variables, as it is printed. */
export interface PrintedLink {
  readonly alias: string;
  readonly name: string;
  readonly via: string;
  /** The address or name in the variables. */
  readonly host: string;
  readonly variables: readonly Variable[];
}

export interface FormattedLinks {
  readonly text: string;
  /** Names of the variables that were left out. */
  readonly leftOut: readonly string[];
}

export function formatLinks(links: readonly PrintedLink[], format: LinkFormat): FormattedLinks {
  if (format === 'json') return { text: `${jsonLine(links.map(asJson))}\n`, leftOut: [] };
  const { canCarry, print } = PRINTERS[format];
  const leftOut = links.flatMap(({ variables }) =>
    variables.filter((variable) => !canCarry(variable)).map(({ name }) => name),
  );
  const carried = links.map((link) => ({ ...link, variables: link.variables.filter(canCarry) }));
  return { text: print(carried), leftOut };
}

interface Printer {
  canCarry(variable: Variable): boolean;
  print(links: readonly PrintedLink[]): string;
}

const PRINTERS: Readonly<Record<Exclude<LinkFormat, 'json'>, Printer>> = {
  env: {
    canCarry: ({ name, value }) => /^[^\s=]+$/.test(name) && isPrintable(name + value),
    print: (links) => eachVariable(links, ({ name, value }) => `${name}=${value}\n`),
  },
  sh: {
    canCarry: ({ name, value }) => isIdentifier(name) && isPrintable(value.replace(/[\n\t]/g, '')),
    print: (links) => eachVariable(links, ({ name, value }) => `export ${name}=${quoted(value)}\n`),
  },
  docker: {
    canCarry: ({ name, value }) => isPlain(name) && isPlain(value),
    print: (links) => `${links.flatMap(dockerOptions).join(' ')}\n`,
  },
};

function eachVariable(
  links: readonly PrintedLink[],
  print: (variable: Variable) => string,
): string {
  return links.flatMap(({ variables }) => variables.map(print)).join('');
}

function isPrintable(text: string): boolean {
  return printable(text) === text;
}

/** Whether a shell can have a variable of that name. */
export function isIdentifier(name: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name);
}

function quoted(value: string): string {
  return `'${value.replaceAll("'", `'\\''`)}'`;
}

/**
 * Whether a shell leaves the text as it is. In `docker run $(soradns links ...)` it takes quotes as they are and splits the
 * text at blanks in them, so a value with a blank could add an option such as --privileged.
 */
function isPlain(text: string): boolean {
  return /^[A-Za-z0-9_@%+=:,./[\]-]*$/.test(text);
}

function dockerOptions({ alias, host, variables }: PrintedLink): readonly string[] {
  const isAddress = addressFamily(host) !== 0;
  return [
    ...variables.map(({ name, value }) => `-e ${name}=${value}`),
    ...(isAddress ? [`--add-host ${alias}:${host}`] : []),
  ];
}

function asJson({ alias, name, via, host, variables }: PrintedLink) {
  const pairs = variables.map((variable) => [variable.name, variable.value] as const);
  return { alias, name, via, host, variables: Object.fromEntries(pairs) };
}
