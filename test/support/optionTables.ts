/** The README's tables of options, made from the rows that the program itself reads them by. */
import type { Option } from '../../src/config/option.ts';
import { REGISTER_OPTIONS } from '../../src/config/registerOptions.ts';
import { SERVE_OPTIONS } from '../../src/config/serveOptions.ts';
import { variablesOf } from '../../src/config/settings.ts';
import { STORE_OPTIONS } from '../../src/config/storeOptions.ts';

type Rows = Readonly<Record<string, Option<unknown>>>;

/** What stands between the README's marks. */
export function optionTables(): string {
  return [
    `Of \`serve\`, and of \`up\`, whose \`--addr\` is the host's address on Docker's bridge and which always registers;
\`--config FILE\` (\`SORADNS_CONFIG\`) names a file of them:`,
    table(SERVE_OPTIONS),
    'Of everything that has a store:',
    table(STORE_OPTIONS),
    'Of `register`; `serve`, `up` and their variables have them with `register-` in front:',
    table(REGISTER_OPTIONS),
  ].join('\n\n');
}

function table(rows: Rows): string {
  const lines = Object.values(rows)
    .filter(({ hidden }) => hidden !== true)
    .map((row) => `| ${[option(row), variables(row), fallback(row), meaning(row)].join(' | ')} |`);
  return ['| option | variables | default | |', '|---|---|---|---|', ...lines].join('\n');
}

function option({ name, short, placeholder, form, secret }: Option<unknown>): string {
  const value = form === 'switch' ? '' : ` ${placeholder ?? 'VALUE'}`;
  const names = [`\`--${name}${value}\``];
  if (short !== undefined) names.push(`\`-${short}\``);
  if (secret === true) names.push(`\`--${name}-file FILE\``);
  return names.join(', ');
}

function variables(row: Option<unknown>): string {
  const [own = '', ...others] = variablesOf(row);
  const all = [own, ...(row.secret === true ? [`${own}_FILE`] : []), ...others];
  return all.map((variable) => `\`${variable}\``).join(', ');
}

function fallback({ defaultText, form }: Option<unknown>): string {
  return defaultText ?? (form === 'switch' ? 'false' : '–');
}

function meaning({ describe, choices = [] }: Option<unknown>): string {
  const isComplete = choices.every((choice) => describe.includes(choice));
  return `${describe}${isComplete ? '' : `: ${choices.join(', ')}`}`.replaceAll('|', '\\|');
}
