/**
 * registrar/registrator/: Describes containers from registrator's metadata, and reads its flags and command line. Pure.
 * Imports: config/options, dns, registrar/describe, registrar/engine, service.
 * Used by: app/registrar, cli, registrar.
 *
 * `--compat=registrator`: SERVICE_* metadata and the keys of registrator's skydns2 backend,
 * `/skydns/<domain>/<service name>/<service id>`, with one service for each port. It differs where registrator's
 * records were unusable: ids that are not host names (unless `rawIds`), ports that do not belong to the address, an
 * `IGNORE=false` that ignored the container, digests in names, and ids that overwrote each other.
 */
import { parseSwitch } from '../../config/options/option.ts';
import { MAX_TAGS } from '../../service/linking.ts';
import type { ReachableAt } from '../describe/addressChoice.ts';
import { chooseAddress } from '../describe/chooseAddress.ts';
import { type Container, type Port, whyNotHealthy } from '../describe/container.ts';
import type { RegistrarContext } from '../describe/context.ts';
import { type Description, Hints, isNot, Refusals, shown } from '../describe/description.ts';
import { drainingOf, isUsableTag } from '../describe/fields.ts';
import {
  type ContainerSettings,
  findOwnSetting,
  findSetting,
  readMetadata,
} from '../describe/metadata.ts';
import { buildDescription, type NameRecords } from '../describe/nameRecords.ts';
import { imageBase, MAX_NAMES, projectOf, slug } from '../describe/names.ts';
import { offeredPorts } from '../describe/ports.ts';
import { storedPort } from '../describe/storedValue.ts';
import { shortIdOf } from '../engine/containerId.ts';
import { type ServiceKey, serviceKey } from './key.ts';
import { readExtras, readServiceSettings, type ServiceExtras } from './metadata.ts';

interface ServiceWork {
  readonly container: Container;
  readonly parent: Container | undefined;
  readonly context: RegistrarContext;
  readonly settings: ContainerSettings;
  readonly refusals: Refusals;
  readonly waits: string[];
  /** The keys of the container's ports that were described before. */
  readonly taken: Set<string>;
}

/** Describes a running container in the way that registrator registers it. */
export function describeServices(
  container: Container,
  context: RegistrarContext,
  parent: Container | undefined,
): Description {
  const refusals = new Refusals();
  const settings = readServiceSettings(container, refusals);
  const ports = offeredPorts(container, context.mode, parent);
  const work: ServiceWork = {
    ...{ container, parent, context, settings, refusals },
    ...{ waits: [], taken: new Set<string>() },
  };
  const reason =
    whyNotHealthy(container, context.health) ??
    (ports.length === 0 ? `has no ${context.mode} port` : undefined);
  if (reason !== undefined) return { kind: 'ignored', reason };
  if (ports.length > MAX_NAMES)
    refusals.add(
      'the container',
      `has ${ports.length} ports, and at most ${MAX_NAMES} are allowed`,
    );
  const meant = ports.length > MAX_NAMES ? [] : ports.filter((port) => isMeant(port, work));
  const nameRecords = meant.flatMap((port) => recordsOfService(port, ports.length > 1, work));
  if (meant.length === 0 && refusals.list().length === 0)
    return { kind: 'ignored', reason: whyNone(settings) };
  const draining = drainingOf(container, context, undefined);
  // PROJECT is the only setting of soradns that is also read in this mode.
  const own = readMetadata(container, context, new Refusals());
  const project = projectOf(container, own);
  const parts = { ...work, hints: new Hints(), stop: context.stop, draining, project };
  return buildDescription(nameRecords, parts, container, context);
}

function whyNone(settings: ContainerSettings): string {
  const ignore = findSetting(settings, 'ignore');
  return ignore === undefined
    ? 'has no SERVICE_NAME'
    : `is switched off by ${shown(ignore.source)}`;
}

/** Whether to register the port: it is not ignored, and it has a name if names must be explicit. */
function isMeant(port: Port, { settings, context, refusals }: ServiceWork): boolean {
  const ignore = findSetting(settings, 'ignore', port);
  const isIgnored = ignore !== undefined && parseSwitch(ignore.value);
  if (isIgnored === undefined) {
    refusals.add(ignore?.source ?? '', isNot(ignore?.value ?? '', 'true or false'));
    return false;
  }
  if (isIgnored) return false;
  return context.exposedByDefault || findSetting(settings, 'name', port) !== undefined;
}

function recordsOfService(port: Port, isGroup: boolean, work: ServiceWork): NameRecords[] {
  const { container, parent, context, refusals, waits } = work;
  const extras = readExtras(work.settings, port, context, refusals);
  if (extras === undefined) return [];
  const { mode } = context;
  const choice = chooseAddress(container, port, { mode }, context, parent);
  switch (choice.kind) {
    case 'waiting':
      waits.push(choice.reason);
      return [];
    case 'refused':
      refusals.add(`port ${port.number}/${port.protocol}`, choice.reason);
      return [];
    case 'endpoints':
      return choice.endpoints
        .flatMap(
          (endpoint, i) =>
            recordsAtEndpoint(port, endpoint, i === 0 ? '' : '-v6', isGroup, extras, work) ?? [],
        )
        .map((one) => ({ ...one, isInternal: choice.isInternal }));
  }
}

function recordsAtEndpoint(
  port: Port,
  { address, port: openPort }: ReachableAt,
  suffix: string,
  isGroup: boolean,
  extras: ServiceExtras,
  work: ServiceWork,
): Omit<NameRecords, 'isInternal'> | undefined {
  const { context, container } = work;
  const serviceAt = serviceKeyOf(port, suffix, isGroup, work);
  if (serviceAt === undefined) return undefined;
  const { key, host } = serviceAt;
  work.taken.add(key);
  const ifTaken = serviceKeyOf(port, `-${shortIdOf(container.id)}${suffix}`, isGroup, work);
  const tags = (extras.meta?.tags ?? []).filter(isUsableTag).slice(0, MAX_TAGS);
  const record = {
    key,
    instance: 'named',
    ...(ifTaken === undefined ? {} : { keyIfTaken: ifTaken.key }),
    fields: {
      host: address,
      ...(openPort === undefined ? {} : { port: openPort }),
      ttl: context.recordTtlSeconds,
      expose: storedPort(port),
      ...(tags.length === 0 ? {} : { tags }),
    },
    ...extras,
  } as const;
  return { records: [record], host };
}

/** The key for a port's service. If another port of the container has the key, the id gets the port's number. */
function serviceKeyOf(
  port: Port,
  idSuffix: string,
  isGroup: boolean,
  { settings, container, context, refusals, taken }: ServiceWork,
): ServiceKey | undefined {
  const name = serviceName(port, isGroup, settings, container);
  const tail = `${port.number}${port.protocol === 'udp' ? '-udp' : ''}`;
  const id = findSetting(settings, 'id', port)?.value;
  const result = serviceKey({ container, port, name, id, idSuffix }, context);
  if (result.kind === 'refused') {
    refusals.add(`${id ?? container.name}.${name}`, result.reason);
    return undefined;
  }
  if (!taken.has(result.key) || id === undefined) return result;
  const other = serviceKey({ container, port, name, id, idSuffix: `-${tail}${idSuffix}` }, context);
  return other.kind === 'key' ? other : undefined;
}

/** With several ports, the container's name gets the port's number; a port's own name does not. */
function serviceName(
  port: Port,
  isGroup: boolean,
  settings: ContainerSettings,
  container: Container,
): string {
  const name =
    findSetting(settings, 'name', port)?.value ??
    (imageBase(container.image) || slug(container.name));
  const isOwn = findOwnSetting(settings, 'name', port) !== undefined;
  return isGroup && !isOwn ? `${name}-${port.number}` : name;
}
