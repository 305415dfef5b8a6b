/** The names of one port of a container: those that `NAME` lists, or one made of its parts. */
import type { Container, Port } from './container.ts';
import type { RegistrarContext } from './context.ts';
import { findOwnSetting, findSetting, type Key, type Setting, type Settings } from './metadata.ts';
import { derivedParts } from './nameParts.ts';
import { type CheckedName, checkName, MAX_NAMES, siblingName } from './names.ts';
import type { Place } from './placement.ts';
import type { PortPlan } from './ports.ts';
import type { Refusals } from './refusals.ts';

/** What a name may be made of. */
export interface NameSources {
  readonly container: Container;
  readonly context: RegistrarContext;
  readonly settings: Settings;
  readonly refusals: Refusals;
}

/** Names that are no good are refused one by one. A port's own `SERVICE` counts more than the container's `NAME`. */
export function placesOf({ port, suffix }: PortPlan, sources: NameSources): Place[] {
  const { settings } = sources;
  const own = (key: Key) => port && findOwnSetting(settings, key, port);
  const names =
    own('NAME') ?? (own('SERVICE') === undefined ? findSetting(settings, 'NAME') : undefined);
  return names === undefined
    ? placeOfParts(port, suffix, sources)
    : placesOfList(names, suffix, sources);
}

function placesOfList(names: Setting, suffix: string, sources: NameSources): Place[] {
  const { context, refusals } = sources;
  const texts = names.value.split(',').map((text) => text.trim());
  if (texts.length > MAX_NAMES) {
    refusals.add(names.source, `${texts.length} names, at most ${MAX_NAMES}`);
    return [];
  }
  const places = new Map<string, Place>();
  for (const text of texts.filter((text) => text !== '')) {
    const checked = checkName(text, context);
    const final =
      checked.kind === 'name' && suffix !== ''
        ? siblingName(checked.name, suffix, context)
        : checked;
    const name = acceptName(text, final, refusals);
    if (name !== undefined) places.set(name.join('.'), { name, instance: 'named' });
  }
  return [...places.values()];
}

function placeOfParts(port: Port | undefined, suffix: string, sources: NameSources): Place[] {
  const { container, context, settings, refusals } = sources;
  const part = (key: Key) => findSetting(settings, key, port)?.value;
  const derived = derivedParts(container);
  const instance = part('INSTANCE') ?? derived.instance;
  const isAuto = instance.toLowerCase() === 'auto';
  const service = part('SERVICE') ?? derived.service;
  const labels = [
    isAuto ? '' : instance,
    service.replace(/^[^.]*/, (first) => first + suffix),
    part('ENVIRONMENT') ?? derived.environment ?? context.environment ?? '',
    part('REGION') ?? context.region ?? '',
    // With the final dot, as it is no part's business to look like a top-level domain.
    part('DOMAIN') ?? context.domain ?? `${context.defaultZone.join('.')}.`,
  ];
  const text = labels.filter((label) => label !== '').join('.');
  const name = acceptName(text, checkName(text, context), refusals);
  return name === undefined ? [] : [{ name, instance: isAuto ? 'auto' : 'named' }];
}

function acceptName(text: string, checked: CheckedName, refusals: Refusals) {
  if (checked.kind === 'name') return checked.name;
  refusals.add(text, checked.reason);
  return undefined;
}
