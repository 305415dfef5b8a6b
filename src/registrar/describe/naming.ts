/** The names of one port of a container: those that `NAME` lists, or one made of its parts. */
import type { Container, Port } from './container.ts';
import type { RegistrarContext } from './context.ts';
import { type Refusals, shown } from './description.ts';
import {
  type ContainerSetting,
  type ContainerSettings,
  findOwnSetting,
  findSetting,
  type SettingKey,
} from './metadata.ts';
import type { RequestedName } from './nameRecords.ts';
import {
  type CheckedName,
  checkName,
  derivedParts,
  MAX_NAMES,
  projectOf,
  siblingName,
} from './names.ts';
import type { PortPlan } from './ports.ts';

/** What a name may be made of. */
export interface NameSources {
  readonly container: Container;
  readonly context: RegistrarContext;
  readonly settings: ContainerSettings;
  readonly refusals: Refusals;
}

/** Names that are no good are refused one by one. A port's own `SERVICE` counts more than the container's `NAME`. */
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
  const places = new Map<string, RequestedName>();
  for (const text of texts.filter((text) => text !== '')) {
    const checked = checkName(text, context);
    const final =
      checked.kind === 'name' && suffix !== ''
        ? siblingName(checked.name, suffix, context)
        : checked;
    const name = acceptName(text, final, refusals);
    if (name === undefined) continue;
    const place: RequestedName = isAuto
      ? { name, instance: 'auto' }
      : { name, instance: 'named', hintIfTaken: hintForShared(checked, sources, port) };
    places.set(name.join('.'), place);
  }
  return [...places.values()];
}

function nameFromParts(
  port: Port | undefined,
  suffix: string,
  sources: NameSources,
): RequestedName[] {
  const { container, context, settings, refusals } = sources;
  const said = findSetting(settings, 'INSTANCE', port);
  const derived = derivedParts(container);
  const service = findSetting(settings, 'SERVICE', port)?.value ?? derived.service;
  const base = nameOfParts(
    service.replace(/^[^.]*/, (first) => first + suffix),
    sources,
    port,
  );
  const label =
    said?.value ?? (derived.instance.kind === 'unique' ? derived.instance.label : 'auto');
  const isAuto = label.toLowerCase() === 'auto';
  const text = isAuto ? base : `${label}.${base}`;
  const name = acceptName(text, checkName(text, context), refusals);
  if (name === undefined) return [];
  if (isAuto) {
    const isWish = said === undefined && derived.instance.kind === 'wish';
    const wish = isWish ? { preferredNumber: derived.instance.number } : {};
    return [{ name, instance: 'auto', ...wish }];
  }
  const hintIfTaken = `to have the containers numbered, set ${context.envPrefix}INSTANCE=auto`;
  return [{ name, instance: 'named', hintIfTaken }];
}

/** The name of a service, to which an instance is still to come; not checked yet. */
function nameOfParts(service: string, sources: NameSources, port: Port | undefined): string {
  const { container, context, settings } = sources;
  const part = (key: SettingKey) => findSetting(settings, key, port)?.value;
  const labels = [
    service,
    part('ENVIRONMENT') ?? projectOf(container, settings) ?? context.environment ?? '',
    part('REGION') ?? context.region ?? '',
    // With the final dot, as it is no part's business to look like a top-level domain.
    part('DOMAIN') ?? context.serviceDomain ?? `${context.defaultZone.join('.')}.`,
  ];
  return labels.filter((label) => label !== '').join('.');
}

function isAutomatic(instance: ContainerSetting | undefined): boolean {
  return instance?.value.toLowerCase() === 'auto';
}

/** A name has one holder. What puts several containers under one name is an instance in front of it. */
function hintForShared(checked: CheckedName, sources: NameSources, port: Port | undefined): string {
  const { envPrefix: env } = sources.context;
  const [first = '', second] = checked.kind === 'name' ? checked.name : [];
  const isNumbered = /^[0-9]+$/.test(first) && second !== undefined;
  const service = isNumbered ? second : first;
  const shared = nameOfParts(service, sources, port).replace(/\.$/, '');
  const parts = `${env}SERVICE=${service} and ${env}INSTANCE=auto in place of ${env}NAME (for ${shared})`;
  const beside = isNumbered ? '' : `${env}INSTANCE=auto beside ${env}NAME, or `;
  return `to put several containers under one name, set ${beside}${parts}`;
}

function acceptName(text: string, checked: CheckedName, refusals: Refusals) {
  if (checked.kind === 'name') return checked.name;
  refusals.add(text, checked.reason);
  return undefined;
}

/** What the operator may want to know of a container though nothing is wrong: a bounded list of sentences. */

const MAX_HINTS = 8;
const MAX_HINT = 300;

export class Hints {
  readonly #listed = new Set<string>();
  #unlisted = 0;

  /** Each is listed once. Text is made printable and cut. */
  add(hint: string): void {
    if (this.#listed.size < MAX_HINTS) this.#listed.add(shown(hint, MAX_HINT));
    else this.#unlisted++;
  }

  /** As a description has them: nothing where there are none. */
  all(): { readonly hints?: readonly string[] } {
    if (this.#listed.size === 0) return {};
    const more = this.#unlisted === 0 ? [] : [`and ${this.#unlisted} more`];
    return { hints: [...this.#listed, ...more] };
  }
}
