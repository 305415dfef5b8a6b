/** The registrar's options, read and checked together. */
import { type Name, printName } from '../dns/name.ts';
import type { OptionValues } from './option.ts';
import type { REGISTRAR_OPTIONS } from './registerOptions.ts';
import { type Origins, type ReadSettings, readSettings, type Sources } from './settings.ts';

type RegistrarRows = typeof REGISTRAR_OPTIONS;

export type RegistrarSettings = OptionValues<RegistrarRows>;

/** What was said, and what of it is a default that something else may replace. */
export interface RegistrarWishes {
  readonly settings: RegistrarSettings;
  readonly origins: Origins<RegistrarRows>;
}

/** `rows` under the command's own names; `domains` stand for zones that are not given. */
export function readRegistrarWishes<R extends RegistrarRows>(
  rows: R,
  sources: Sources,
  domains: readonly Name[],
): ReadSettings<R> {
  const read = readSettings(rows, sources);
  const settings: RegistrarSettings = read.settings;
  const mistakes = [...read.mistakes];
  const { defaultZone, zones = domains } = settings;
  if (defaultZone !== undefined && !zones.some((zone) => isSame(zone, defaultZone))) {
    const zone = printName(defaultZone);
    mistakes.push(
      `--${rows.defaultZone.name}: ${zone} is none of the zones; add --${rows.zones.name} ${zone}`,
    );
  }
  const registrators = [
    ...(settings.rawIds ? [rows.rawIds] : []),
    ...(settings.checkMethods.length > 0 ? [rows.checkMethods] : []),
  ];
  if (settings.compat !== 'registrator') {
    for (const { name } of registrators)
      mistakes.push(`--${name}: is about registrator; add --${rows.compat.name} registrator`);
  }
  return { ...read, mistakes };
}

function isSame(a: Name, b: Name): boolean {
  return printName(a) === printName(b);
}
