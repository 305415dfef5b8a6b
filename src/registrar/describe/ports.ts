/**
 * Decides which ports of a container get records, and which port gets the name itself. Ports are the container's own
 * (`n` in `-p 8080:n`). A single port gets the name. Of several ports, `DNS_PORT` lists those with the name, ports with
 * their own settings have their own names, and the others become siblings: `rails-9090` beside `rails`. PURE.
 */
import { parseSwitch } from '../../config/options/option.ts';
import { type Container, comparePorts, type Port, printPort } from './container.ts';
import type { Mode } from './context.ts';
import { type Hints, isNot, type Refusals, shown } from './description.ts';
import {
  type ContainerSettings,
  findOwnSetting,
  findSetting,
  type MentionedPort,
  mentionedPorts,
} from './metadata.ts';
import { MAX_NAMES } from './names.ts';

export interface PortPlan {
  /** `undefined` for a record without a port. */
  readonly port: Port | undefined;
  /** `-9090` for a sibling; empty for a port with the container's name or its own name. */
  readonly suffix: string;
}

export interface PortPlanOptions {
  readonly exposedByDefault: boolean;
  readonly mode: Mode;
  /** The name of the setting `PORT`, for messages. */
  readonly portKey: string;
  /** Why clients cannot reach a port; `undefined` if they can, or can soon. */
  readonly whyUnreachable: (port: Port) => string | undefined;
  /** Why the container has no port to register, with the fix. */
  readonly whyNoPort: () => string;
  /** The container's name, for messages. */
  readonly containerName: () => string;
  readonly hints: Hints;
}

/**
 * The ports that may get the container's name. A number with both protocols counts once, as tcp. On the host's network,
 * where Docker binds no ports, `-p` takes precedence over the ports that the image exposes.
 */
export function candidatePorts(container: Container, mode: Mode, parent?: Container): Port[] {
  const isSelected = container.networkMode === 'host' && container.requested.length > 0;
  return onePerNumber(isSelected ? container.requested : offeredPorts(container, mode, parent));
}

/**
 * The ports that a container offers. Published mode: the bound and the requested ones. Internal mode: the exposed ones.
 * On the host's network: the exposed and the requested ones. `parent` is the container whose network this one joined:
 * the parent has the bindings, and the child's EXPOSE selects the child's ports among them.
 */
export function offeredPorts(container: Container, mode: Mode, parent?: Container): Port[] {
  const owner = parent ?? container;
  const own = [...container.exposed, ...container.requested];
  if (owner.networkMode === 'host') return distinct(own);
  if (mode === 'internal') {
    const exposed = [...own, ...container.published];
    return distinct(exposed.length > 0 ? exposed : owner.exposed);
  }
  const published = publishedPorts(owner);
  if (parent === undefined || own.length === 0) return published;
  const mine = new Set(own.map(printPort));
  return published.filter((port) => mine.has(printPort(port)));
}

/** The ports that are bound on the host or requested. */
export function publishedPorts(owner: Container): Port[] {
  const byPublishAll = owner.publishesAll ? owner.exposed : [];
  return distinct([...owner.published, ...owner.requested, ...byPublishAll]);
}

/** The ports that get records, each once. Ports with the container's name or their own name come first. */
export function planPorts(
  candidates: readonly Port[],
  settings: ContainerSettings,
  options: PortPlanOptions,
  refusals: Refusals,
): PortPlan[] {
  const isOn = (port: Port) => isPortOn(port, settings, refusals);
  const mentioned = resolveMentioned(candidates, settings).filter(isOn);
  const own = mentioned.filter((port) => hasOwnName(port, settings));
  const ownTexts = new Set(own.map(printPort));
  const isNameless = (port: Port) => !ownTexts.has(printPort(port));
  const wanted = namedPorts(candidates, settings, refusals);
  const plans: PortPlan[] = own.map((port) => ({ port, suffix: '' }));
  let leftOut: readonly Port[] = [];
  switch (wanted.kind) {
    case 'refused':
      break;
    case 'portless':
      plans.push(PORTLESS);
      break;
    case 'named':
      plans.push(...withSiblings(wanted.ports.filter(isOn)).filter(({ port }) => isNameless(port)));
      break;
    case 'unnamed': {
      // Settings of single ports do not register the other ports.
      const isMeant = options.exposedByDefault || settings.has('');
      const among = isMeant && candidates.length > 0 ? candidates.filter(isOn) : mentioned;
      const judged = splitReachable(among.filter(isNameless), options);
      leftOut = judged.leftOut;
      plans.push(...unnamedPlans(judged.ports, options, refusals));
      const isWithout = candidates.length === 0 && judged.ports.length === 0;
      if (isWithout && (plans.length === 0 || hasNameOfItsOwn(settings)))
        plans.push(...planWithoutPort(options, refusals));
    }
  }
  refuseUnused(mentioned, [...plans.map(({ port }) => port), ...leftOut], refusals);
  return plans.sort(comparePlans);
}

const PORTLESS: PortPlan = { port: undefined, suffix: '' };

/** Without a port only internal mode gives a record: in published mode its address would be the host's. */
function planWithoutPort(options: PortPlanOptions, refusals: Refusals): PortPlan[] {
  if (options.mode === 'internal') return [PORTLESS];
  refusals.add(options.containerName(), options.whyNoPort());
  return [];
}

/** Judging a port reads all bindings, so the number of judged ports is limited. */
const MAX_JUDGED = 1_000;

/** Leaves out ports that clients cannot reach, so that they do not compete for the name. */
function splitReachable(ports: readonly Port[], { whyUnreachable, hints }: PortPlanOptions) {
  const none: readonly Port[] = [];
  if (ports.length < 2 || ports.length > MAX_JUDGED) return { ports, leftOut: none };
  const reasons = new Map(ports.map((port) => [port, whyUnreachable(port)]));
  const reachable = ports.filter((port) => reasons.get(port) === undefined);
  if (reachable.length === 0) return { ports, leftOut: none };
  const leftOut = ports.filter((port) => reasons.get(port) !== undefined);
  for (const port of leftOut)
    hints.add(`port ${printPort(port)} has no record: it ${reasons.get(port)}`);
  return { ports: reachable, leftOut };
}

/** Refuses the settings of ports without a record, because they are likely a mistake. */
function refuseUnused(
  mentioned: readonly Port[],
  planned: readonly (Port | undefined)[],
  refusals: Refusals,
): void {
  const used = new Set(planned.map((port) => port && printPort(port)));
  for (const port of mentioned.map(printPort))
    if (!used.has(port))
      refusals.add(
        `port ${port}`,
        'has settings, but the container does not publish it: publish it, or remove the settings',
      );
}

/** Whether the port is switched on. A wrong value of the switch is refused, and the port gets no record. */
function isPortOn(port: Port, settings: ContainerSettings, refusals: Refusals): boolean {
  const enable = findOwnSetting(settings, 'ENABLE', port);
  const isOn = enable === undefined || parseSwitch(enable.value);
  if (isOn === undefined)
    refusals.add(enable?.source ?? '', isNot(enable?.value ?? '', 'true or false'));
  return isOn === true;
}

function comparePlans(a: PortPlan, b: PortPlan): number {
  const none = { number: 0, protocol: 'tcp' } as const;
  return (
    Number(a.suffix !== '') - Number(b.suffix !== '') ||
    comparePorts(a.port ?? none, b.port ?? none)
  );
}

/** Plans ports without their own names when `PORT` is unset: a single port gets the name itself. */
function unnamedPlans(
  rest: readonly Port[],
  { portKey, containerName: about }: PortPlanOptions,
  refusals: Refusals,
): PortPlan[] {
  const [first, second] = rest;
  if (first === undefined) return [];
  if (second === undefined) return [{ port: first, suffix: '' }];
  const listed = shown(rest.slice(0, 20).map(printPort).join(', '));
  refusals.add(
    about(),
    `has ${rest.length} ports to choose from (${listed}): set ${portKey}, as in ${portKey}=${first.number}`,
  );
  if (rest.length > MAX_NAMES) return [];
  return rest.map((port) => ({ port, suffix: siblingSuffix(port, rest) }));
}

/** The first port gets the name itself. */
function withSiblings(ports: readonly Port[]): { port: Port; suffix: string }[] {
  const [first] = ports;
  return distinct(ports).map((port) => ({
    port,
    suffix: first && printPort(port) === printPort(first) ? '' : siblingSuffix(port, ports),
  }));
}

function siblingSuffix(port: Port, among: readonly Port[]): string {
  const isAmbiguous = among.some(
    ({ number, protocol }) => number === port.number && protocol !== port.protocol,
  );
  return isAmbiguous && port.protocol === 'udp' ? `-${port.number}-udp` : `-${port.number}`;
}

type PortSetting =
  | { readonly kind: 'named'; readonly ports: readonly Port[] }
  | { readonly kind: 'portless' | 'unnamed' | 'refused' };

/** Reads `PORT`: `8080`, `8080,9090`, `53/udp`, or `0`. */
function namedPorts(
  candidates: readonly Port[],
  settings: ContainerSettings,
  refusals: Refusals,
): PortSetting {
  const setting = findSetting(settings, 'PORT');
  if (setting === undefined) return { kind: 'unnamed' };
  if (setting.value === '0') return { kind: 'portless' };
  const words = setting.value.split(',', MAX_NAMES + 1).map((word) => word.trim());
  if (words.length > MAX_NAMES) {
    refusals.add(setting.source, `lists more than ${MAX_NAMES} ports: remove some`);
    return { kind: 'refused' };
  }
  const ports: Port[] = [];
  for (const word of words) {
    const mentioned = parseMentioned(word);
    if (mentioned === undefined) {
      refusals.add(setting.source, isNot(word, 'a port from 1 to 65535, or 0 for none'));
      return { kind: 'refused' };
    }
    ports.push(resolvePort(mentioned, candidates));
  }
  return { kind: 'named', ports };
}

function parseMentioned(word: string): MentionedPort | undefined {
  const [, digits, protocol] = /^([0-9]{1,5})(?:\/(tcp|udp))?$/.exec(word.toLowerCase()) ?? [];
  const number = Number(digits);
  if (digits === undefined || number < 1 || number > 65_535) return undefined;
  return { number, protocol: protocol === 'tcp' || protocol === 'udp' ? protocol : undefined };
}

function resolveMentioned(candidates: readonly Port[], settings: ContainerSettings): Port[] {
  return distinct(mentionedPorts(settings).map((port) => resolvePort(port, candidates)));
}

/** A port without a protocol gets the protocol of the candidate with its number, else tcp. */
function resolvePort({ number, protocol }: MentionedPort, candidates: readonly Port[]): Port {
  if (protocol !== undefined) return { number, protocol };
  return {
    number,
    protocol: candidates.find((port) => port.number === number)?.protocol ?? 'tcp',
  };
}

/** Whether a setting names the whole container. */
function hasNameOfItsOwn(settings: ContainerSettings): boolean {
  return (
    findSetting(settings, 'NAME') !== undefined || findSetting(settings, 'SERVICE') !== undefined
  );
}

function hasOwnName(port: Port, settings: ContainerSettings): boolean {
  return (
    findOwnSetting(settings, 'NAME', port) !== undefined ||
    findOwnSetting(settings, 'SERVICE', port) !== undefined
  );
}

function onePerNumber(ports: readonly Port[]): Port[] {
  const byNumber = new Map<number, Port>();
  for (const { number, protocol } of ports) {
    const other = byNumber.get(number)?.protocol;
    byNumber.set(number, { number, protocol: other === 'tcp' ? 'tcp' : protocol });
  }
  return [...byNumber.values()].sort(comparePorts);
}

function distinct(ports: readonly Port[]): Port[] {
  const byText = new Map(
    ports.map(({ number, protocol }) => [`${number}/${protocol}`, { number, protocol }]),
  );
  return [...byText.values()].sort(comparePorts);
}
