/** The keys of `--tsig-file`, and mistakes in the options for secondaries that one option alone does not show. */
import { nameKey, printName } from '../dns/name.ts';
import type { NotifyTarget, TransferRule } from '../transfer/transferRules.ts';
import { type ParsedTsigKeys, parseTsigKeys, type TsigKeys } from '../transfer/tsigKeys.ts';
import type { OptionValues } from './options/option.ts';
import type { TRANSFER_OPTIONS } from './options/transferOptions.ts';
import type { Secret } from './options/valueForms.ts';

type TransferSettings = Pick<
  OptionValues<typeof TRANSFER_OPTIONS>,
  'transferAllow' | 'notify' | 'tsig'
>;

/** One line for each. */
export function transferMistakes({ transferAllow, notify, tsig }: TransferSettings): string[] {
  const parsed = readTsigKeys(tsig);
  if (parsed.kind === 'mistake') return [`--tsig-file: the file ${parsed.problem}`];
  return [
    ...unknownKeys('transfer-allow', transferAllow, parsed.keys),
    ...unknownKeys('notify', notify, parsed.keys),
  ];
}

export function readTsigKeys(tsig: Secret | undefined): ParsedTsigKeys {
  return tsig === undefined ? NO_KEYS : parseTsigKeys(tsig.reveal());
}

const NO_KEYS = { kind: 'keys', keys: new Map() } as const;

function unknownKeys(
  option: string,
  values: readonly (TransferRule | NotifyTarget)[],
  keys: TsigKeys,
): string[] {
  return values.flatMap(({ key }) => {
    if (key === undefined || keys.has(nameKey(key))) return [];
    const name = printName(key);
    return [
      `--${option}: there is no key ${name}; add the output of \`tsig-keygen ${name}\` to --tsig-file`,
    ];
  });
}
