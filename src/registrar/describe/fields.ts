/** Reads and checks the values of settings: the fields of a record, and the policies of a container. */
import { parseSwitch } from '../../config/settings.ts';
import type { Container, HealthPolicy } from './container.ts';
import type { Mode, RegistrarContext, StopPolicy } from './context.ts';
import { type Draining, isNot, type RecordFields, type Refusals } from './description.ts';
import type { ContainerSetting, SettingKey } from './metadata.ts';
import { isSwarmTask } from './names.ts';

/** Finds the setting that counts for one port, or for the container. */
export type FindSetting = (key: SettingKey) => ContainerSetting | undefined;

/** The fields of a record besides host and port. */
export type RecordAttributes = Omit<RecordFields, 'host' | 'port'>;

const MAX_TEXT_OCTETS = 1024;
const MAX_GROUP_OCTETS = 255;
const MAX_STOP_SECONDS = 604_800;
/** A week. Containers are not trusted, and other resolvers cache an answer for its TTL. */
const MAX_RECORD_TTL_SECONDS = 604_800;

/** `undefined` if a field is refused, because a record needs all of its fields. */
export function readRecordAttributes(
  find: FindSetting,
  recordTtlSeconds: number,
  refusals: Refusals,
): RecordAttributes | undefined {
  const priority = readForm(find, 'PRIORITY', wholeNumberForm(0, 65_535), refusals);
  const weight = readForm(find, 'WEIGHT', wholeNumberForm(0, 65_535), refusals);
  const text = readForm(find, 'TEXT', textForm(MAX_TEXT_OCTETS), refusals);
  const mail = readForm(find, 'MAIL', booleanForm, refusals);
  const ttl = readForm(find, 'TTL', wholeNumberForm(1, MAX_RECORD_TTL_SECONDS), refusals);
  const targetstrip = readForm(find, 'TARGETSTRIP', wholeNumberForm(0, 127), refusals);
  const group = readForm(find, 'GROUP', textForm(MAX_GROUP_OCTETS), refusals);
  const all = { priority, weight, text, mail, ttl, targetstrip, group };
  if (Object.values(all).includes(REFUSED)) return undefined;
  const set = Object.entries(all).filter(([, value]) => value !== undefined);
  return { ttl: recordTtlSeconds, ...(Object.fromEntries(set) as Partial<RecordAttributes>) };
}

/** The result for a wrong value. The reason is among the refusals. */
export const REFUSED = Symbol('refused');

export function readEnable(
  find: FindSetting,
  refusals: Refusals,
): boolean | undefined | typeof REFUSED {
  return readForm(find, 'ENABLE', booleanForm, refusals);
}

export function readMode(find: FindSetting, refusals: Refusals): Mode | undefined | typeof REFUSED {
  return readForm(find, 'MODE', wordForm<Mode>('published', 'internal'), refusals);
}

export function readHealthPolicy(
  find: FindSetting,
  refusals: Refusals,
): HealthPolicy | undefined | typeof REFUSED {
  return readForm(find, 'HEALTH', wordForm<HealthPolicy>('auto', 'ignore', 'require'), refusals);
}

export function readStopPolicy(
  find: FindSetting,
  refusals: Refusals,
): StopPolicy | undefined | typeof REFUSED {
  return readForm(find, 'STOP', wordForm<StopPolicy>('drain', 'die'), refusals);
}

export function readStopTimeout(
  find: FindSetting,
  refusals: Refusals,
): number | undefined | typeof REFUSED {
  return readForm(find, 'STOP_TIMEOUT', wholeNumberForm(1, MAX_STOP_SECONDS), refusals);
}

/** How to read a value, and which values are right. Containers may write words in any case. */
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

const booleanForm: ValueForm<boolean> = { expects: 'true or false', parse: parseSwitch };

function wholeNumberForm(min: number, max: number): ValueForm<number> {
  return {
    expects: `a whole number from ${min} to ${max}`,
    parse: (text) => {
      const n = /^[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN;
      return n >= min && n <= max ? n : undefined;
    },
  };
}

function wordForm<T extends string>(...words: readonly T[]): ValueForm<T> {
  return {
    expects: words.join(' or '),
    parse: (text) => words.find((word) => word === text.toLowerCase()),
  };
}

function textForm(maxOctets: number): ValueForm<string> {
  return {
    expects: `text of at most ${maxOctets} octets without control characters`,
    parse: (text) =>
      !/\p{Cc}|\p{Cs}/u.test(text) && Buffer.byteLength(text) <= maxOctets ? text : undefined,
  };
}

/** Docker's default if neither the stop nor the container has a timeout. */
const DEFAULT_STOP_SECONDS = 10;

/** The time between Docker's SIGKILL and the death. */
const STOP_GRACE_SECONDS = 2;

/**
 * How long a stop may take. A stop may take longer than the container's own timeout, because `docker stop -t`,
 * `compose stop -t` and swarm state the timeout in a request that the registrar does not see. `ownSeconds`: the
 * container's setting STOP_TIMEOUT.
 */
export function drainingOf(
  container: Container,
  { stopTimeoutSeconds }: RegistrarContext,
  ownSeconds: number | undefined,
): Draining {
  const timeout = container.stopTimeoutSeconds ?? DEFAULT_STOP_SECONDS;
  const never = Number.POSITIVE_INFINITY;
  if (ownSeconds !== undefined) return { maxSeconds: ownSeconds, healthySeconds: never };
  if (timeout < 0) return { maxSeconds: never, healthySeconds: never };
  const maxSeconds = Math.max(stopTimeoutSeconds, timeout + STOP_GRACE_SECONDS);
  // Swarm signals a task only to end it, with a grace period that is not the container's timeout.
  return { maxSeconds, healthySeconds: isSwarmTask(container) ? never : timeout };
}
