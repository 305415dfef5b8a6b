/**
 * registrar/registrator/: The same from registrator's metadata, flags and command line. Pure.
 * Imports: config, dns, registrar/describe, registrar/engine, service.
 * Used by: app/registrar, cli, registrar.
 *
 * `--compat=registrator`: SERVICE_* metadata and the keys of registrator's skydns2 backend,
 * `/skydns/<domain>/<service name>/<service id>`, one service a port. Departures are where registrator wrote what nobody
 * could use: ids that are no host names (unless raw ids are asked for), ports that do not go with the address,
 * `IGNORE=false` that ignored, digests in names, ids that overwrote each other.
 */
import { parseSwitch } from '../../config/settings.ts';
import type { ReachableAt } from '../describe/addressChoice.ts';
import { chooseAddress } from '../describe/chooseAddress.ts';
import { type Container, type Port, whyNotHealthy } from '../describe/container.ts';
import type { RegistrarContext } from '../describe/context.ts';
import { type Description, isNot, Refusals, shown } from '../describe/description.ts';
import { drainingOf } from '../describe/fields.ts';
import {
  type ContainerSettings,
  findOwnSetting,
  findSetting,
  readMetadata,
} from '../describe/metadata.ts';
import { buildDescription, type NameRecords } from '../describe/nameRecords.ts';
import { imageBase, MAX_NAMES, projectOf, slug } from '../describe/names.ts';
import { Hints } from '../describe/naming.ts';
import { offeredPorts } from '../describe/ports.ts';
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
  /** Keys given to this container's ports so far. */
  readonly taken: Set<string>;
}

/** A running container as registrator would have it registered. */
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
  const placed = meant.flatMap((port) => recordsOfService(port, ports.length > 1, work));
  if (meant.length === 0 && refusals.list().length === 0)
    return { kind: 'ignored', reason: whyNone(settings) };
  const draining = drainingOf(container, context, undefined);
  // The only one of our own settings that counts beside registrator's.
  const own = readMetadata(container, context, new Refusals());
  const project = projectOf(container, own);
  const outcome = { ...work, hints: new Hints(), stop: context.stop, draining, project };
  return buildDescription(placed, outcome, container, context);
}

function whyNone(settings: ContainerSettings): string {
  const ignore = findSetting(settings, 'ignore');
  return ignore === undefined
    ? 'has no SERVICE_NAME'
    : `is switched off by ${shown(ignore.source)}`;
}

/** Neither ignored nor, where names have to be explicit, without one. */
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
  const extras = readExtras(work.settings, port, context.registrator ?? {}, refusals);
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
  const place = serviceKeyOf(port, suffix, isGroup, work);
  if (place === undefined) return undefined;
  const { key, host } = place;
  work.taken.add(key);
  const ifTaken = serviceKeyOf(port, `-${shortIdOf(container.id)}${suffix}`, isGroup, work);
  const record = {
    key,
    instance: 'named',
    ...(ifTaken === undefined ? {} : { keyIfTaken: ifTaken.key }),
    fields: {
      host: address,
      ...(openPort === undefined ? {} : { port: openPort }),
      ttl: context.recordTtlSeconds,
    },
    ...extras,
  } as const;
  return { records: [record], host };
}

/** The key for a port's service; where another port of the container has it, the port is added to the id. */
function serviceKeyOf(
  port: Port,
  idSuffix: string,
  isGroup: boolean,
  { settings, container, context, refusals, taken }: ServiceWork,
): ServiceKey | undefined {
  const name = serviceName(port, isGroup, settings, container);
  const tail = `${port.number}${port.protocol === 'udp' ? '-udp' : ''}`;
  const id = findSetting(settings, 'id', port)?.value;
  const place = serviceKey({ container, port, name, id, idSuffix }, context);
  if (place.kind === 'refused') {
    refusals.add(`${id ?? container.name}.${name}`, place.reason);
    return undefined;
  }
  if (!taken.has(place.key) || id === undefined) return place;
  const other = serviceKey({ container, port, name, id, idSuffix: `-${tail}${idSuffix}` }, context);
  return other.kind === 'key' ? other : undefined;
}

/** With more ports than one, the port goes behind a name that is not the port's own. */
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
