/**
 * Which ports of a container become records, and which of them carries the name itself. Ports are the container's own
 * (`n` in `-p 8080:n`). The only port there is needs no naming; of several, `DNS_PORT` says which have the name, ports
 * with settings of their own have theirs, and the others become siblings: `rails-9090` beside `rails`.
 */
import { type Container, comparePorts, type Port, printPort } from './container.ts';
import type { Mode } from './context.ts';
import { isNot, type Refusals, shown } from './description.ts';
import {
  type ContainerSettings,
  findOwnSetting,
  findSetting,
  type MentionedPort,
  mentionedPorts,
  parseBoolean,
} from './metadata.ts';
import { MAX_NAMES } from './names.ts';
import type { Hints } from './naming.ts';

export interface PortPlan {
  /** `undefined`: a record without port. */
  readonly port: Port | undefined;
  /** `` for the port that has the container's name, `-9090` for a sibling. Names of the port's own are without. */
  readonly suffix: string;
}

/**
 * The ports that may have the container's name, a number that is exposed for tcp and for udp only once, as tcp. On the
 * host's network, where Docker binds none, those asked for with `-p` are meant rather than all that the image exposes.
 */
export function candidatePorts(container: Container, mode: Mode, parent?: Container): Port[] {
  const isAsked = container.networkMode === 'host' && container.requested.length > 0;
  return onePerNumber(isAsked ? container.requested : offeredPorts(container, mode, parent));
}

/**
 * The ports that a container offers: published mode the bound ones and those that should be, internal mode the exposed
 * ones, and on the host's network those exposed or asked for. `parent` is the container whose network it joined: there
 * the parent's ports are bound, and the child's EXPOSE says which of them are its own.
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

/** What is bound on the host, and what was asked for and is not. */
export function publishedPorts(owner: Container): Port[] {
  const asked = owner.publishesAll ? owner.exposed : [];
  return distinct([...owner.published, ...owner.requested, ...asked]);
}

/** The records to make, at most one a port; those with names of their own or the container's come first. */
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
      // Settings of single ports do not mean the others.
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

export interface PortPlanOptions {
  readonly exposedByDefault: boolean;
  readonly mode: Mode;
  /** What `PORT` is called, for messages. */
  readonly portKey: string;
  /** Why nobody else reaches a port; `undefined`: others do, or will. */
  readonly whyUnreachable: (port: Port) => string | undefined;
  /** Why there is no port at all, and what to do. */
  readonly whyNoPort: () => string;
  /** The names that the container should have, for messages. */
  readonly about: () => string;
  readonly hints: Hints;
}

const PORTLESS: PortPlan = { port: undefined, suffix: '' };

/** On a network of its own a container has an address without any port; on the host's it would be the host's. */
function planWithoutPort(options: PortPlanOptions, refusals: Refusals): PortPlan[] {
  if (options.mode === 'internal') return [PORTLESS];
  refusals.add(options.about(), options.whyNoPort());
  return [];
}

/** Judging takes a look at all bindings for each port. */
const MAX_JUDGED = 1_000;

/** A port that nobody reaches does not make it doubtful which of the others has the name. */
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

/** Settings for a port that comes to nothing are likely a slip. */
function refuseUnused(
  mentioned: readonly Port[],
  planned: readonly (Port | undefined)[],
  refusals: Refusals,
): void {
  const used = new Set(planned.map((port) => port && printPort(port)));
  for (const port of mentioned.map(printPort))
    if (!used.has(port)) refusals.add(`port ${port}`, 'has settings, but nothing publishes it');
}

/** Not switched off; a switch that is neither on nor off is refused, and the port with it. */
function isPortOn(port: Port, settings: ContainerSettings, refusals: Refusals): boolean {
  const enable = findOwnSetting(settings, 'ENABLE', port);
  const isOn = enable === undefined || parseBoolean(enable.value);
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

/** Ports without a name of their own when `PORT` says nothing: the name itself goes to the only one there is. */
function unnamedPlans(
  rest: readonly Port[],
  { portKey, about }: PortPlanOptions,
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

/** The first has the name itself. */
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

/** What `PORT` says: `8080`, `8080,9090`, `53/udp`, or `0`. */
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
    refusals.add(setting.source, `lists more than ${MAX_NAMES} ports`);
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

/** Without a protocol it is the candidate of that number, else tcp. */
function resolvePort({ number, protocol }: MentionedPort, candidates: readonly Port[]): Port {
  if (protocol !== undefined) return { number, protocol };
  return {
    number,
    protocol: candidates.find((port) => port.number === number)?.protocol ?? 'tcp',
  };
}

/** Whether the container as a whole was given a name. */
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
