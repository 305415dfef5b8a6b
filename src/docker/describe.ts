/**
 * What a container should have in DNS, as a function of its inspection and of what the operator wants; nothing else.
 * Containers are strangers: the work is bounded, nothing throws, no key lies outside the zones, and what is refused is
 * refused alone and with its reason.
 */
import { chooseAddress, parentOf } from './chooseAddress.ts';
import { type Container, type Port, readContainer } from './container.ts';
import type { HealthPolicy, RegistrarContext, StopPolicy } from './context.ts';
import type { Description } from './description.ts';
import type { Inspection } from './engine.ts';
import {
  type Find,
  REFUSED,
  readAttributes,
  readEnable,
  readHealth,
  readMode,
  readStop,
} from './fields.ts';
import { whyNotHealthy, whyNotUp } from './health.ts';
import { findSetting, readMetadata, type Settings } from './metadata.ts';
import { isOneOff } from './nameParts.ts';
import { MAX_NAMES } from './names.ts';
import { placesOf } from './naming.ts';
import { conclude, type Place, type PlacedRecord, placeRecords } from './placement.ts';
import { candidatePorts, type PortPlan, planPorts } from './ports.ts';
import { Refusals, shown } from './refusals.ts';
import { describeServices } from './registrator.ts';

/**
 * Never throws, whatever the inspections hold; equal for equal arguments, however their members are ordered. `parent` is
 * the container whose network this one joined, if it did and that exists.
 */
export function describe(
  inspection: Inspection,
  context: RegistrarContext,
  parent?: Inspection,
): Description {
  const container = readContainer(inspection);
  const reason = whyNotEligible(container);
  if (reason !== undefined) return { kind: 'ignored', reason };
  const joined =
    parentOf(container) === undefined || parent === undefined ? undefined : readContainer(parent);
  return context.compat === 'registrator'
    ? describeServices(container, context, joined)
    : describeNames(container, context, joined);
}

/** The id or name of the container whose network this one joined, whose inspection is `describe`'s `parent`. */
export function parentIdOf(inspection: Inspection): string | undefined {
  return parentOf(readContainer(inspection));
}

function whyNotEligible(container: Container): string | undefined {
  if (container.id === '') return 'has no id';
  return whyNotUp(container) ?? (isOneOff(container) ? 'is a one-off of compose' : undefined);
}

/** All that the steps below have in common. */
interface Work {
  readonly container: Container;
  readonly parent: Container | undefined;
  readonly context: RegistrarContext;
  readonly settings: Settings;
  /** The settings of the container whose network this one joined. */
  readonly parentSettings: Settings;
  readonly refusals: Refusals;
  readonly waits: string[];
}

function describeNames(
  container: Container,
  context: RegistrarContext,
  parent: Container | undefined,
): Description {
  const refusals = new Refusals();
  const settings = readMetadata(container, context.metadata, refusals);
  const parentSettings: Settings =
    parent === undefined ? new Map() : readMetadata(parent, context.metadata, new Refusals());
  const work = { container, parent, context, settings, parentSettings, refusals, waits: [] };
  const policies = readPolicies(work);
  const reason =
    policies && (whyNotEnabled(work, policies.enable) ?? whyNotHealthy(container, policies.health));
  // Whoever wrote DNS_NAM is to be told, though there is no metadata.
  const isSlip = settings.size === 0 && refusals.list().length > 0;
  if (reason !== undefined && !isSlip) return { kind: 'ignored', reason };
  const placed = policies === undefined || reason !== undefined ? [] : describePorts(work);
  return conclude(placed, { ...work, stop: policies?.stop ?? context.stop }, container, context);
}

interface Policies {
  readonly enable: boolean | undefined;
  readonly health: HealthPolicy;
  readonly stop: StopPolicy;
}

/** What holds for the whole container; `undefined` when one of them is refused. */
function readPolicies({ settings, context, refusals }: Work): Policies | undefined {
  const find: Find = (key) => findSetting(settings, key);
  const enable = readEnable(find, refusals);
  const health = readHealth(find, refusals);
  const stop = readStop(find, refusals);
  if (enable === REFUSED || health === REFUSED || stop === REFUSED) return undefined;
  return { enable, health: health ?? context.health, stop: stop ?? context.stop };
}

function whyNotEnabled({ container, settings, context }: Work, enable: boolean | undefined) {
  if (enable === false) {
    return `is switched off by ${shown(findSetting(settings, 'ENABLE')?.source ?? '')}`;
  }
  if (enable === true || context.exposedByDefault || settings.size > 0) return undefined;
  return isRegistrators(container)
    ? "has no metadata but registrator's SERVICE_*, which count with --compat registrator"
    : 'has no metadata';
}

function isRegistrators({ env, labels }: Container): boolean {
  return [...env.keys(), ...labels.keys()].some((key) => key.startsWith('SERVICE_'));
}

/** What the container says of networks, or else the one whose network it joined. */
function networkFind({ settings, parentSettings }: Work, port?: Port): Find {
  return (key) => findSetting(settings, key, port) ?? findSetting(parentSettings, key, port);
}

function describePorts(work: Work): PlacedRecord[] {
  const { container, parent, context, settings, refusals } = work;
  const wish = readMode(networkFind(work), refusals);
  if (wish === REFUSED) return [];
  const mode = wish ?? context.mode;
  const portKey = `${context.metadata.env}PORT`;
  const options = { exposedByDefault: context.exposedByDefault, mode, portKey };
  const candidates = candidatePorts(container, mode, parent);
  const plans = planPorts(candidates, settings, options, refusals);
  const places = plans.map((plan) => placesOf(plan, work));
  const count = places.reduce((sum, { length }) => sum + length, 0);
  if (count > MAX_NAMES) {
    refusals.add(`${context.metadata.env}NAME`, `${count} names, at most ${MAX_NAMES}`);
    return [];
  }
  return plans.flatMap((plan, i) => describePort(plan, places[i] ?? [], work));
}

function describePort({ port }: PortPlan, places: readonly Place[], work: Work): PlacedRecord[] {
  const { container, parent, context, settings, refusals, waits } = work;
  if (places.length === 0) return [];
  const find: Find = (key) => findSetting(settings, key, port);
  const attributes = readAttributes(find, context.ttlSeconds, refusals);
  const mode = readMode(networkFind(work, port), refusals);
  if (attributes === undefined || mode === REFUSED) return [];
  const wishes = {
    ip: networkFind(work, port)('IP')?.value,
    network: networkFind(work, port)('NETWORK')?.value,
    mode: mode ?? context.mode,
  };
  const choice = chooseAddress(container, port, wishes, context, parent);
  switch (choice.kind) {
    case 'endpoints':
      return places.flatMap((place) => placeRecords(place, choice, attributes, context, refusals));
    case 'waiting':
      waits.push(choice.reason);
      return [];
    case 'refused':
      refusals.add((places[0] as Place).name.join('.'), choice.reason);
      return [];
  }
}
