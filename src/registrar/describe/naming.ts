/** Derives the names of one port of a container: the names that `NAME` lists, or one name that is made of parts. */
import type { Container, Port } from './container.ts';
import type { RegistrarContext } from './context.ts';
import type { Refusals } from './description.ts';
import {
  type ContainerSetting,
  type ContainerSettings,
  findOwnSetting,
  findSetting,
  type SettingKey,
} from './metadata.ts';
import {
  beginsWithNumber,
  type CheckedName,
  checkOwnName,
  derivedParts,
  MAX_NAMES,
  projectOf,
  type RequestedName,
  siblingName,
} from './names.ts';
import type { PortPlan } from './ports.ts';

/** The sources of a container's names. */
export interface NameSources {
  readonly container: Container;
  readonly context: RegistrarContext;
  readonly settings: ContainerSettings;
  readonly refusals: Refusals;
}

/** Refuses wrong names one by one. A port's own `SERVICE` takes precedence over the container's `NAME`. */
export function requestedNames({ port, suffix }: PortPlan, sources: NameSources): RequestedName[] {
  const { settings } = sources;
  const own = (key: SettingKey) => port && findOwnSetting(settings, key, port);
  const names =
    own('NAME') ?? (own('SERVICE') === undefined ? findSetting(settings, 'NAME') : undefined);
  return names === undefined
    ? nameFromParts(port, suffix, sources)
    : listedNames(names, suffix, sources, port);
}

function listedNames(
  names: ContainerSetting,
  suffix: string,
  sources: NameSources,
  port?: Port,
): RequestedName[] {
  const { context, refusals, settings } = sources;
  const texts = names.value.split(',').map((text) => text.trim());
  if (texts.length > MAX_NAMES) {
    refusals.add(names.source, `lists ${texts.length} names, and at most ${MAX_NAMES} are allowed`);
    return [];
  }
  const isAuto = isAutomatic(findSetting(settings, 'INSTANCE', port));
  const requested = new Map<string, RequestedName>();
  for (const text of texts.filter((text) => text !== '')) {
    const checked = checkOwnName(text, context, context);
    const final =
      checked.kind === 'name' && suffix !== ''
        ? siblingName(checked.name, suffix, context)
        : checked;
    const name = acceptName(text, final, refusals);
    if (name === undefined) continue;
    const request: RequestedName = isAuto
      ? { name, instance: 'auto' }
      : { name, instance: 'named', hintIfTaken: hintForShared(checked, context) };
    requested.set(name.join('.'), request);
  }
  return [...requested.values()];
}

function nameFromParts(
  port: Port | undefined,
  suffix: string,
  sources: NameSources,
): RequestedName[] {
  const { container, context, settings, refusals } = sources;
  const setting = findSetting(settings, 'INSTANCE', port);
  const derived = derivedParts(container);
  const service = findSetting(settings, 'SERVICE', port)?.value ?? derived.service;
  const base = nameOfParts(
    service.replace(/^[^.]*/, (first) => first + suffix),
    sources,
    port,
  );
  const label =
    setting?.value ?? (derived.instance.kind === 'unique' ? derived.instance.label : 'auto');
  const isAuto = label.toLowerCase() === 'auto';
  const text = isAuto ? base : `${label}.${base}`;
  const name = acceptName(text, checkOwnName(text, context, context), refusals);
  if (name === undefined) return [];
  if (isAuto) {
    const isPreferred = setting === undefined && derived.instance.kind === 'preferred';
    const preferred = isPreferred ? { preferredNumber: derived.instance.number } : {};
    return [{ name, instance: 'auto', ...preferred }];
  }
  const hintIfTaken = `to number the containers, set ${context.envPrefix}INSTANCE=auto`;
  return [{ name, instance: 'named', hintIfTaken }];
}

/** The name of a service without its instance; unchecked. */
function nameOfParts(service: string, sources: NameSources, port: Port | undefined): string {
  const { container, context, settings } = sources;
  const part = (key: SettingKey) => findSetting(settings, key, port)?.value;
  const labels = [
    service,
    part('ENVIRONMENT') ?? projectOf(container, settings) ?? context.environment ?? '',
    part('REGION') ?? context.region ?? '',
    // With the final dot, so that no part makes the name look complete.
    part('DOMAIN') ?? context.serviceDomain ?? `${context.defaultZone.join('.')}.`,
  ];
  return labels.filter((label) => label !== '').join('.');
}

function isAutomatic(instance: ContainerSetting | undefined): boolean {
  return instance?.value.toLowerCase() === 'auto';
}

/** How several containers can share a name, which has only one holder: as numbered instances below it. */
function hintForShared(checked: CheckedName, { envPrefix: env, zones }: RegistrarContext): string {
  const start = `to put several containers under one name, set ${env}INSTANCE=auto`;
  if (checked.kind !== 'name' || !beginsWithNumber(checked.name, { zones }))
    return `${start} beside ${env}NAME`;
  const [number = '', ...shared] = checked.name;
  return `${start} and leave the ${number} out of ${env}NAME: ${shared.join('.')}`;
}

function acceptName(text: string, checked: CheckedName, refusals: Refusals) {
  if (checked.kind === 'name') return checked.name;
  refusals.add(text, checked.reason);
  return undefined;
}
