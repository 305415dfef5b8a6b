/**
 * Describes a container: the records that it should have, and the refusals with their reasons. The result depends on
 * the inspection and the context alone. Containers are not trusted: the work is bounded, nothing throws, no key lies
 * outside the zones, and a refused value costs only its own record.
 */
import type { AddressChoice } from './describe/addressChoice.ts';
import { chooseAddress } from './describe/chooseAddress.ts';
import {
  type Container,
  type HealthPolicy,
  type Port,
  parentOf,
  readContainer,
  whyNotHealthy,
  whyNotUp,
} from './describe/container.ts';
import type { RegistrarContext, StopPolicy } from './describe/context.ts';
import { type Description, Hints, Refusals, shown } from './describe/description.ts';
import {
  drainingOf,
  type FindSetting,
  REFUSED,
  readEnable,
  readHealthPolicy,
  readMode,
  readRecordAttributes,
  readStopPolicy,
  readStopTimeout,
} from './describe/fields.ts';
import { readLinkSettings } from './describe/linkKeys.ts';
import { type ContainerSettings, findSetting, readMetadata } from './describe/metadata.ts';
import { buildDescription, type NameRecords, recordsOfName } from './describe/nameRecords.ts';
import {
  isOneOff,
  isSwarmTask,
  MAX_NAMES,
  projectOf,
  type RequestedName,
} from './describe/names.ts';
import { requestedNames } from './describe/naming.ts';
import { hintAtOtherPorts, hintAtUnselectedPorts, whyNoPort } from './describe/portHints.ts';
import {
  candidatePorts,
  type PortPlan,
  type PortPlanOptions,
  planPorts,
} from './describe/ports.ts';
import type { Inspection } from './engine/engine.ts';
import { describeServices } from './registrator/registrator.ts';

/**
 * Never throws. The order of the arguments' members does not change the result. `parent` is the container whose network
 * this one joined; `undefined` if it joined none, or if the parent does not exist.
 */
export function describeContainer(
  inspection: Inspection,
  context: RegistrarContext,
  parent?: Inspection,
): Description {
  const container = readContainer(inspection);
  const reason = whyNotEligible(container);
  if (reason !== undefined) return { kind: 'ignored', reason };
  const joined =
    parentOf(container) === undefined || parent === undefined ? undefined : readContainer(parent);
  return context.compat.includes('registrator')
    ? describeServices(container, context, joined)
    : describeNames(container, context, joined);
}

function whyNotEligible(container: Container): string | undefined {
  if (container.id === '') return 'has no id';
  return (
    whyNotUp(container) ??
    (isOneOff(container) ? 'is a one-off container of docker compose run' : undefined)
  );
}

/** The arguments and results that the steps below share. */
interface DescriptionWork {
  readonly container: Container;
  readonly parent: Container | undefined;
  readonly context: RegistrarContext;
  readonly settings: ContainerSettings;
  /** The settings of the container whose network this one joined. */
  readonly parentSettings: ContainerSettings;
  readonly refusals: Refusals;
  readonly hints: Hints;
  /** What further records wait for. */
  readonly waits: string[];
}

function describeNames(
  container: Container,
  context: RegistrarContext,
  parent: Container | undefined,
): Description {
  const refusals = new Refusals();
  const settings = readMetadata(container, context, refusals);
  const parentSettings: ContainerSettings =
    parent === undefined ? new Map() : readMetadata(parent, context, new Refusals());
  const work: DescriptionWork = {
    ...{ container, parent, context, settings, parentSettings },
    ...{ refusals, hints: new Hints(), waits: [] },
  };
  const policies = readPolicies(work);
  const reason =
    policies && (whyNotEnabled(work, policies.enable) ?? whyNotHealthy(container, policies.health));
  // A misspelt DNS_NAM is reported although the container then has no metadata.
  const isMisspelt = settings.size === 0 && refusals.list().length > 0;
  if (reason !== undefined && !isMisspelt) {
    if (reason === NO_METADATA) hintAtMetadata(work);
    return { kind: 'ignored', reason, ...work.hints.all() };
  }
  const nameRecords = policies === undefined || reason !== undefined ? [] : describePorts(work);
  const stop = policies?.stop ?? context.stop;
  const draining = drainingOf(container, context, policies?.stopTimeoutSeconds);
  const project = projectOf(container, settings);
  return buildDescription(nameRecords, { ...work, stop, draining, project }, container, context);
}

interface Policies {
  readonly enable: boolean | undefined;
  readonly health: HealthPolicy;
  readonly stop: StopPolicy;
  readonly stopTimeoutSeconds: number | undefined;
}

/** Reads the settings of the whole container; `undefined` when one of them is refused. */
function readPolicies({ settings, context, refusals }: DescriptionWork): Policies | undefined {
  const find: FindSetting = (key) => findSetting(settings, key);
  const enable = readEnable(find, refusals);
  const health = readHealthPolicy(find, refusals);
  const stop = readStopPolicy(find, refusals);
  const stopTimeoutSeconds = readStopTimeout(find, refusals);
  if (enable === REFUSED || health === REFUSED) return undefined;
  if (stop === REFUSED || stopTimeoutSeconds === REFUSED) return undefined;
  return {
    enable,
    health: health ?? context.health,
    stop: stop ?? context.stop,
    stopTimeoutSeconds,
  };
}

const NO_METADATA = 'has no metadata';
const ONLY_LINKS = 'has links and asks for no name';

function whyNotEnabled(
  { container, settings, context }: DescriptionWork,
  enable: boolean | undefined,
) {
  if (enable === false) {
    return `is switched off by ${shown(findSetting(settings, 'ENABLE')?.source ?? '')}`;
  }
  if (enable === true || context.exposedByDefault || settings.size > 0) return undefined;
  if (hasServiceMetadata(container))
    return `has only registrator's SERVICE_* metadata, which is read only with --${context.optionPrefix}compat registrator`;
  return readLinkSettings(container, context).length > 0 ? ONLY_LINKS : NO_METADATA;
}

function hintAtMetadata({ container, context, hints }: DescriptionWork): void {
  const { envPrefix: env, labelPrefix: label } = context;
  hints.add(
    `set ${env}NAME, label it ${label}name=..., or use --${context.optionPrefix}exposed-by-default`,
  );
  if (isSwarmTask(container))
    hints.add(
      'labels of a swarm service (--label, deploy.labels) are not on its containers: use --container-label, or labels beside deploy',
    );
}

function hasServiceMetadata({ env, labels }: Container): boolean {
  return [...env.keys(), ...labels.keys()].some((key) => key.startsWith('SERVICE_'));
}

/** Finds settings about the network: those of the container, else those of the container whose network it joined. */
function networkSettingFinder(
  { settings, parentSettings }: DescriptionWork,
  port?: Port,
): FindSetting {
  return (key) => findSetting(settings, key, port) ?? findSetting(parentSettings, key, port);
}

function describePorts(work: DescriptionWork): NameRecords[] {
  const { container, parent, context, settings, refusals } = work;
  const ownMode = readMode(networkSettingFinder(work), refusals);
  if (ownMode === REFUSED) return [];
  const mode = ownMode ?? context.mode;
  const candidates = candidatePorts(container, mode, parent);
  hintAtUnselectedPorts(container, work.hints);
  const plans = planPorts(candidates, settings, planOptions(mode, work), refusals);
  const names = plans.map((plan) => requestedNames(plan, work));
  const count = names.reduce((sum, { length }) => sum + length, 0);
  if (count > MAX_NAMES) {
    const listed = `lists ${count} names, and at most ${MAX_NAMES} are allowed`;
    refusals.add(`${context.envPrefix}NAME`, listed);
    return [];
  }
  return plans.flatMap((plan, i) => describePort(plan, names[i] ?? [], work));
}

function planOptions(mode: PortPlanOptions['mode'], work: DescriptionWork): PortPlanOptions {
  const { context, hints } = work;
  return {
    exposedByDefault: context.exposedByDefault,
    mode,
    portKey: `${context.envPrefix}PORT`,
    whyUnreachable: (port) => whyUnreachable(port, work),
    whyNoPort: () => whyNoPort(portOwner(work)),
    containerName: () => {
      const [first] = requestedNames({ port: undefined, suffix: '' }, work);
      return first === undefined ? 'the container' : nameText(first);
    },
    hints,
  };
}

/** Why other hosts cannot reach a port; `undefined` if they can, or can once the engine has bound it. */
function whyUnreachable(port: Port, work: DescriptionWork): string | undefined {
  // Discards refusals, because `describePort` reports a refused mode.
  const choice = addressForPort(port, { ...work, refusals: new Refusals() });
  switch (choice?.kind) {
    case undefined:
    case 'endpoints':
      return undefined;
    case 'waiting':
      return choice.isBinding === true ? undefined : choice.reason;
    case 'refused':
      return choice.reason;
  }
}

function portOwner({ container, parent, context }: DescriptionWork) {
  return { container, parent, prefix: context.envPrefix };
}

function nameText({ name }: RequestedName): string {
  return name.join('.');
}

/** `undefined` if the port's mode is refused. */
function addressForPort(port: Port | undefined, work: DescriptionWork): AddressChoice | undefined {
  const { container, parent, context, refusals } = work;
  const find = networkSettingFinder(work, port);
  const mode = readMode(find, refusals);
  if (mode === REFUSED) return undefined;
  const [ip, network] = [find('IP')?.value, find('NETWORK')?.value];
  return chooseAddress(
    container,
    port,
    { ip, network, mode: mode ?? context.mode },
    context,
    parent,
  );
}

function describePort(
  { port }: PortPlan,
  names: readonly RequestedName[],
  work: DescriptionWork,
): NameRecords[] {
  const { context, settings, refusals, hints, waits } = work;
  const [first] = names;
  if (first === undefined) return [];
  const find: FindSetting = (key) => findSetting(settings, key, port);
  const attributes = readRecordAttributes(find, port, context, refusals);
  const choice = addressForPort(port, work);
  if (attributes === undefined || choice === undefined) return [];
  switch (choice.kind) {
    case 'endpoints':
      if (port !== undefined) hintAtOtherPorts(port, choice, portOwner(work), settings, hints);
      return names.flatMap((name) => recordsOfName(name, choice, attributes, context, refusals));
    case 'waiting':
      waits.push(choice.reason);
      return [];
    case 'refused':
      refusals.add(nameText(first), choice.reason);
      return [];
  }
}
