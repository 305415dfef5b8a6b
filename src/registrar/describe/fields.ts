/** The fields of a record, and the other settings that have a form of their own, from metadata to checked values. */
import type { HealthPolicy, Mode, StopPolicy } from './context.ts';
import { isNot, type RecordFields, type Refusals } from './description.ts';
import { type ContainerSetting, parseBoolean, type SettingKey } from './metadata.ts';

/** The setting that counts for one port, or for the container. */
export type FindSetting = (key: SettingKey) => ContainerSetting | undefined;

/** What a record says besides host and port. */
export type RecordAttributes = Omit<RecordFields, 'host' | 'port'>;

const MAX_TEXT_OCTETS = 1024;
const MAX_GROUP_OCTETS = 255;
const MAX_STOP_SECONDS = 604_800;
/** What a container may ask for, a week: it is a stranger, and others keep what it says for so long. */
const MAX_ASKED_TTL_SECONDS = 604_800;

/** `undefined` when one of them is refused: a record that is half as meant is none. */
export function readRecordAttributes(
  find: FindSetting,
  defaultTtlSeconds: number,
  refusals: Refusals,
): RecordAttributes | undefined {
  const priority = readForm(find, 'PRIORITY', wholeNumber(0, 65_535), refusals);
  const weight = readForm(find, 'WEIGHT', wholeNumber(0, 65_535), refusals);
  const text = readForm(find, 'TEXT', plainText(MAX_TEXT_OCTETS), refusals);
  const mail = readForm(find, 'MAIL', boolean, refusals);
  const ttl = readForm(find, 'TTL', wholeNumber(1, MAX_ASKED_TTL_SECONDS), refusals);
  const targetstrip = readForm(find, 'TARGETSTRIP', wholeNumber(0, 127), refusals);
  const group = readForm(find, 'GROUP', plainText(MAX_GROUP_OCTETS), refusals);
  const all = { priority, weight, text, mail, ttl, targetstrip, group };
  if (Object.values(all).includes(REFUSED)) return undefined;
  const set = Object.entries(all).filter(([, value]) => value !== undefined);
  return { ttl: defaultTtlSeconds, ...(Object.fromEntries(set) as Partial<RecordAttributes>) };
}

/** Stands for a setting that is there and wrong; the reason is among the refusals. */
export const REFUSED = Symbol('refused');

export function readEnable(
  find: FindSetting,
  refusals: Refusals,
): boolean | undefined | typeof REFUSED {
  return readForm(find, 'ENABLE', boolean, refusals);
}

export function readMode(find: FindSetting, refusals: Refusals): Mode | undefined | typeof REFUSED {
  return readForm(find, 'MODE', oneOf<Mode>('published', 'internal'), refusals);
}

export function readHealthPolicy(
  find: FindSetting,
  refusals: Refusals,
): HealthPolicy | undefined | typeof REFUSED {
  return readForm(find, 'HEALTH', oneOf<HealthPolicy>('auto', 'ignore', 'require'), refusals);
}

export function readStopPolicy(
  find: FindSetting,
  refusals: Refusals,
): StopPolicy | undefined | typeof REFUSED {
  return readForm(find, 'STOP', oneOf<StopPolicy>('drain', 'die'), refusals);
}

export function readStopTimeout(
  find: FindSetting,
  refusals: Refusals,
): number | undefined | typeof REFUSED {
  return readForm(find, 'STOP_TIMEOUT', wholeNumber(1, MAX_STOP_SECONDS), refusals);
}

/** How a value is read, and what it should have been. */
interface ValueForm<T> {
  readonly expects: string;
  readonly parse: (text: string) => T | undefined;
}

function readForm<T>(
  find: FindSetting,
  key: SettingKey,
  form: ValueForm<T>,
  refusals: Refusals,
): T | undefined | typeof REFUSED {
  const setting = find(key);
  if (setting === undefined) return undefined;
  const value = form.parse(setting.value);
  if (value !== undefined) return value;
  refusals.add(setting.source, isNot(setting.value, form.expects));
  return REFUSED;
}

const boolean: ValueForm<boolean> = { expects: 'true or false', parse: parseBoolean };

function wholeNumber(min: number, max: number): ValueForm<number> {
  return {
    expects: `a whole number from ${min} to ${max}`,
    parse: (text) => {
      const n = /^[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN;
      return n >= min && n <= max ? n : undefined;
    },
  };
}

function oneOf<T extends string>(...words: readonly T[]): ValueForm<T> {
  return {
    expects: words.join(' or '),
    parse: (text) => words.find((word) => word === text.toLowerCase()),
  };
}

function plainText(maxOctets: number): ValueForm<string> {
  return {
    expects: `text of at most ${maxOctets} octets without control characters`,
    parse: (text) =>
      !/\p{Cc}|\p{Cs}/u.test(text) && Buffer.byteLength(text) <= maxOctets ? text : undefined,
  };
}
