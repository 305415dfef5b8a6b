/** Reads and checks the values of settings: the fields of a record, and the policies of a container. */
import { parseSwitch } from '../../config/options/option.ts';
import { typeName } from '../../dns/presentation/mnemonic.ts';
import { Type } from '../../dns/rr.ts';
import {
  LEADER_RULES,
  type LeaderRule,
  MAX_TAG_CHARACTERS,
  MAX_TAGS,
  parseExposedPort,
} from '../../service/linking.ts';
import { parseRecords, type ServiceRecord } from '../../service/records.ts';
import { NEARNESSES, type Nearness } from '../../service/service.ts';
import { endpointAt } from './addressChoice.ts';
import { type Container, type HealthPolicy, type Port, printPort } from './container.ts';
import type { Mode, RegistrarContext, StopPolicy } from './context.ts';
import {
  type Draining,
  isNot,
  type RecordFields,
  type RecordLinking,
  type Refusals,
  type StoredPort,
} from './description.ts';
import type { ContainerSetting, SettingKey } from './metadata.ts';
import { checkName, isSwarmTask, type Zones } from './names.ts';
import { storedPort } from './storedValue.ts';

/** Finds the setting that counts for one port, or for the container. */
export type FindSetting = (key: SettingKey) => ContainerSetting | undefined;

/** The fields of a record besides host and port. */
export type RecordAttributes = Omit<RecordFields, 'host' | 'port'>;

const MAX_TEXT_OCTETS = 1024;
const MAX_GROUP_OCTETS = 255;
const MAX_TAGS_OCTETS = 4096;
const MAX_STOP_SECONDS = 604_800;
/** A week. Containers are not trusted, and other resolvers cache an answer for its TTL. */
const MAX_RECORD_TTL_SECONDS = 604_800;

/** The part of the context that the fields depend on. */
export type AttributeContext = Zones &
  Pick<RegistrarContext, 'recordTtlSeconds' | 'anyRr' | 'optionPrefix'>;

/** `undefined` if a field is refused, because a record needs all of its fields. */
export function readRecordAttributes(
  find: FindSetting,
  port: Port | undefined,
  context: AttributeContext,
  refusals: Refusals,
): RecordAttributes | undefined {
  const linking = readRecordLinking(find, port, context, refusals);
  const priority = readForm(find, 'PRIORITY', wholeNumberForm(0, 65_535), refusals);
  const weight = readForm(find, 'WEIGHT', wholeNumberForm(0, 65_535), refusals);
  const text = readForm(find, 'TEXT', textForm(MAX_TEXT_OCTETS), refusals);
  const mail = readForm(find, 'MAIL', booleanForm, refusals);
  const ttl = readForm(find, 'TTL', wholeNumberForm(1, MAX_RECORD_TTL_SECONDS), refusals);
  const targetstrip = readForm(find, 'TARGETSTRIP', wholeNumberForm(0, 127), refusals);
  const group = readForm(find, 'GROUP', textForm(MAX_GROUP_OCTETS), refusals);
  const rr = readRecords(find('RR'), context, refusals);
  const aggregate = readForm(find, 'AGGREGATE', booleanForm, refusals);
  const near = readForm(find, 'NEAR', wordForm<Nearness>(...NEARNESSES), refusals);
  const all = { priority, weight, text, mail, ttl, targetstrip, group, rr, aggregate, near };
  if (linking === REFUSED || Object.values(all).includes(REFUSED)) return undefined;
  const set = Object.entries(all).filter(([, value]) => value !== undefined);
  const own = Object.fromEntries(set) as Partial<RecordAttributes>;
  return { ttl: context.recordTtlSeconds, ...own, ...linking };
}

/** The records of a service, one a line. A container gets types that concern itself, unless `--any-rr` allows all. */
function readRecords(
  setting: ContainerSetting | undefined,
  { anyRr, optionPrefix }: AttributeContext,
  refusals: Refusals,
): readonly string[] | undefined | typeof REFUSED {
  if (setting === undefined) return undefined;
  const given = setting.value.split(/\r?\n/);
  const lines = given.filter((line) => line.trim() !== '');
  const parsed = parseRecords(lines);
  const reason =
    parsed.kind === 'invalid'
      ? parsed.reason
      : reasonAgainst(parsed.records, anyRr, `--${optionPrefix}any-rr`);
  if (reason === undefined) return lines;
  // A refusal begins with a verb, and people count lines from 1.
  const refusal = reason.replace(/^\[(\d+)\]/, (_, i) => {
    const number = given.indexOf(lines[Number(i)] ?? '') + 1;
    return `has a mistake in line ${number}`;
  });
  refusals.add(setting.source, refusal);
  return REFUSED;
}

function reasonAgainst(
  records: readonly ServiceRecord[],
  anyRr: boolean,
  option: string,
): string | undefined {
  for (const [i, { type }] of records.entries()) {
    // The container's address is other data.
    if (type === Type.CNAME) return `[${i}]: a CNAME cannot stand beside other data`;
    const name = typeName(type);
    if (!anyRr && !CONTAINER_TYPES.includes(name)) {
      return `[${i}]: ${name} is not one of ${CONTAINER_TYPES.join(', ')}: allow it with ${option}`;
    }
  }
  return undefined;
}

/** These say something about the container's own service, and cannot take names from others. */
const CONTAINER_TYPES: readonly string[] = ['CAA', 'HTTPS', 'SVCB', 'TLSA', 'SSHFP', 'URI'];

function readRecordLinking(
  find: FindSetting,
  port: Port | undefined,
  zones: Zones,
  refusals: Refusals,
): RecordLinking | typeof REFUSED {
  const tags = readForm(find, 'TAGS', tagsForm, refusals);
  const vip = readForm(find, 'VIP', virtualAddressForm, refusals);
  const vipName = readVirtualName(find('VIP_NAME'), zones, refusals);
  const vipPort = readForm(find, 'VIP_PORT', virtualPortForm(port), refusals);
  const leader = readForm(find, 'LEADER', wordForm<LeaderRule>(...LEADER_RULES), refusals);
  const isProxied = readForm(find, 'PROXY_PROTOCOL', booleanForm, refusals);
  if (tags === REFUSED || vip === REFUSED || vipName === REFUSED) return REFUSED;
  if (vipPort === REFUSED || leader === REFUSED || isProxied === REFUSED) return REFUSED;
  return {
    ...(port === undefined ? {} : { expose: storedPort(port) }),
    ...(tags === undefined ? {} : { tags }),
    // Otherwise `--vip-all` would give the name an address.
    ...(vip === undefined ? {} : { vip: vip === 'false' ? 'none' : vip }),
    ...(vipName === undefined ? {} : { vipName }),
    ...(vipPort === undefined ? {} : { vipPort }),
    ...(leader === undefined ? {} : { leader }),
    ...(isProxied === true ? { proxyProtocol: true } : {}),
  };
}

function readVirtualName(
  setting: ContainerSetting | undefined,
  zones: Zones,
  refusals: Refusals,
): string | undefined | typeof REFUSED {
  if (setting === undefined) return undefined;
  const checked = checkName(setting.value, zones);
  if (checked.kind === 'name') return checked.name.join('.');
  refusals.add(setting.source, checked.reason);
  return REFUSED;
}

/** A comma list; `\,` is a comma in a tag. */
export function parseTags(text: string): string[] {
  return (text.match(/(?:\\,|[^,])+/g) ?? [])
    .map((tag) => tag.replaceAll('\\,', ',').trim())
    .filter((tag) => tag !== '');
}

/** Whether a record may have the tag. */
export function isUsableTag(tag: string): boolean {
  return tag.length <= MAX_TAG_CHARACTERS && !/\p{Cc}|\p{Cs}/u.test(tag);
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
    expects: `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`,
    parse: (text) => words.find((word) => word === text.toLowerCase()),
  };
}

const tagsForm: ValueForm<readonly string[]> = {
  expects: `a list of at most ${MAX_TAGS} tags of at most ${MAX_TAG_CHARACTERS} characters, ${MAX_TAGS_OCTETS} octets in all, without control characters`,
  parse: (text) => {
    if (Buffer.byteLength(text) > MAX_TAGS_OCTETS) return undefined;
    const tags = [...new Set(parseTags(text))];
    const isUsable = tags.length > 0 && tags.length <= MAX_TAGS && tags.every(isUsableTag);
    return isUsable ? tags : undefined;
  },
};

const virtualAddressForm: ValueForm<string> = {
  expects: 'auto, false, or an IP address that other hosts can reach',
  parse: (text) => {
    if (text.toLowerCase() === 'auto') return 'auto';
    return parseSwitch(text) === false ? 'false' : endpointAt(text, undefined)?.address;
  },
};

/** Without a protocol the value means the protocol of the container's own port. */
function virtualPortForm(own: Port | undefined): ValueForm<StoredPort> {
  const known = own === undefined ? '' : ` of ${printPort(own)}`;
  return {
    expects: `a port from 1 to 65535 with the protocol${known}`,
    parse: (text) => {
      const port = parseExposedPort(text);
      if (port === undefined) return undefined;
      if (own === undefined) return storedPort(port);
      const isSame = !text.includes('/') || port.protocol === own.protocol;
      return isSame ? storedPort({ ...port, protocol: own.protocol }) : undefined;
    },
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
