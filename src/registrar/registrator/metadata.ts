/**
 * Reads registrator's `SERVICE_<KEY>` and `SERVICE_<port>_<KEY>`. Any key is allowed. A label takes precedence over a
 * variable.
 */
import type { Container, Port } from '../describe/container.ts';
import type { RegistrarContext } from '../describe/context.ts';
import type { Check, RecordMeta, Refusals } from '../describe/description.ts';
import { parseTags } from '../describe/fields.ts';
import {
  type ContainerSetting,
  type ContainerSettings,
  collectSettings,
  findSetting,
} from '../describe/metadata.ts';
import { parseCheck, SAFE_METHODS } from './check.ts';

const PREFIX = 'SERVICE_';
/** The limit of tags and attributes, which no DNS server reads. */
const MAX_META_OCTETS = 4096;

/** Folds keys to lower case. A setting for a port applies to both of its protocols. */
export function readServiceSettings(
  { env, labels }: Pick<Container, 'env' | 'labels'>,
  refusals: Refusals,
): ContainerSettings {
  const keyOf = (_source: string, rest: string) => {
    const [, digits, key = ''] = /^(?:([0-9]{1,5})_)?(.+)$/s.exec(rest) ?? [];
    return { scope: digits === undefined ? '' : `${Number(digits)}`, key: key.toLowerCase() };
  };
  const settings = collectSettings([
    { texts: env, prefix: PREFIX, keyOf },
    { texts: labels, prefix: PREFIX, keyOf },
  ]);
  if (settings === undefined) refusals.add(`${PREFIX}*`, 'matches too many settings: remove some');
  return settings ?? new Map();
}

/** The parts of a service besides name, address and port. */
export interface ServiceExtras {
  readonly meta?: RecordMeta;
  readonly check?: Check;
}

/** `undefined` if the check is invalid: a service with a check is never registered unchecked. */
export function readExtras(
  settings: ContainerSettings,
  port: Port,
  { registrator, optionPrefix }: Pick<RegistrarContext, 'registrator' | 'optionPrefix'>,
  refusals: Refusals,
): ServiceExtras | undefined {
  const find = (key: string) => findSetting(settings, key, port);
  const parsed = parseCheck((key) => find(key)?.value, {
    methods: [...SAFE_METHODS, ...(registrator?.checkMethods ?? [])],
    optionPrefix,
  });
  switch (parsed.kind) {
    case 'invalid':
      refusals.add(find(parsed.key)?.source ?? parsed.key, parsed.reason);
      return undefined;
    case 'unsupported':
      refusals.add(find(parsed.key)?.source ?? parsed.key, parsed.reason);
      break;
    case 'check':
      for (const { key, reason } of parsed.notes) refusals.add(find(key)?.source ?? key, reason);
      break;
    case 'none':
  }
  const meta = readMeta(settings, port, registrator?.tags ?? [], refusals);
  return {
    ...(meta === undefined ? {} : { meta }),
    ...(parsed.kind === 'check' ? { check: parsed.check } : {}),
  };
}

function readMeta(
  settings: ContainerSettings,
  port: Port,
  commonTags: readonly string[],
  refusals: Refusals,
): RecordMeta | undefined {
  const tags = [...parseTags(findSetting(settings, 'tags', port)?.value ?? ''), ...commonTags];
  const attributes = readMetaAttributes(settings, port);
  const meta = {
    ...(tags.length > 0 ? { tags } : {}),
    ...(attributes.length > 0 ? { attributes: Object.fromEntries(attributes) } : {}),
  };
  const octets = Buffer.byteLength(JSON.stringify(meta));
  if (octets <= MAX_META_OCTETS) return octets > '{}'.length ? meta : undefined;
  refusals.add(
    'SERVICE_TAGS',
    `has more than ${MAX_META_OCTETS} octets of tags and attributes: shorten them`,
  );
  return undefined;
}

/** All settings except registrator's own keys, sorted by name. */
function readMetaAttributes(settings: ContainerSettings, port: Port): [string, string][] {
  const generic: ReadonlyMap<string, ContainerSetting> = settings.get('') ?? new Map();
  const own: ReadonlyMap<string, ContainerSetting> = settings.get(`${port.number}`) ?? new Map();
  return [...new Map([...generic, ...own])]
    .filter(([key]) => !/^(?:name|tags|id|ignore|check_.*)$/s.test(key))
    .map(([key, { value }]): [string, string] => [key, value])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}
