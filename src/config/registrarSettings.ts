/** Reads the registrar's options and checks them against each other. */
import { type Name, printName } from '../dns/name.ts';
import { matchesBelow, printPattern } from '../service/namePattern.ts';
import type { OptionValues } from './options/option.ts';
import type { REGISTRAR_OPTIONS } from './options/registrarOptions.ts';
import { type Origins, type ReadSettings, readSettings, type Sources } from './settings.ts';

type RegistrarRows = typeof REGISTRAR_OPTIONS;

export type RegistrarSettings = OptionValues<RegistrarRows>;

/** The values with their origins: registrator's defaults replace only a value whose origin is `default`. */
export interface RegistrarSettingsAndOrigins {
  readonly settings: RegistrarSettings;
  readonly origins: Origins<RegistrarRows>;
}

/** Reads `rows` under the names that the command gives them; `domains` are the zones where none are set. */
export function readRegistrarSettings<R extends RegistrarRows>(
  rows: R,
  sources: Sources,
  domains: readonly Name[],
): ReadSettings<R> {
  const read = readSettings(rows, sources);
  const settings: RegistrarSettings = read.settings;
  const mistakes = [...read.mistakes];
  const { defaultZone, zones = domains } = settings;
  if (defaultZone !== undefined && !zones.some((zone) => isSameName(zone, defaultZone))) {
    const zone = printName(defaultZone);
    mistakes.push(
      `--${rows.defaultZone.name}: ${zone} is none of the zones; add --${rows.zones.name} ${zone}`,
    );
  }
  const registrators = [
    ...(settings.rawIds ? [rows.rawIds] : []),
    ...(settings.checkMethods.length > 0 ? [rows.checkMethods] : []),
  ];
  if (!settings.compat.includes('registrator')) {
    for (const { name } of registrators)
      mistakes.push(`--${name}: needs --${rows.compat.name} registrator`);
  }
  return { ...read, mistakes };
}

/** A note for each pattern of --allow that matches no name in the zones, and so allows nothing. */
export function idlePatternNotes(
  { allow = [], zones }: RegistrarSettings,
  domains: readonly Name[],
  option: string,
): readonly string[] {
  const where = zones ?? domains;
  return allow
    .filter((pattern) => !where.some((zone) => matchesBelow(pattern, zone)))
    .map((pattern) => {
      const names = where.map(printName).join(' ');
      return `--${option}: ${printPattern(pattern)} has no effect: it matches no name in ${names}`;
    });
}

function isSameName(a: Name, b: Name): boolean {
  return printName(a) === printName(b);
}
