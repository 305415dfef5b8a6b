/**
 * Chooses the address under which clients reach a container: the first that applies of a stated address, the network of
 * another container, the host's network, a published port, and a network of its own. An address is never guessed: a
 * record waits while its address is unknown. Each reason completes a sentence that begins with "it". PURE.
 */
import { addressFamily, printSocketAddress } from '../../dns/address.ts';
import { parseInstant } from '../engine/instants.ts';
import {
  type AddressChoice,
  chosenAddresses,
  endpointAt,
  isAnyAddress,
  isLoopbackText,
  type ReachableAt,
  refusedAddress,
  waitingForAddress,
} from './addressChoice.ts';
import {
  type Container,
  type ContainerNetwork,
  compareTexts,
  isRequested,
  isUsable,
  type Port,
  parentOf,
  printPort,
} from './container.ts';
import type { HostAddresses, Mode, RegistrarContext } from './context.ts';
import { shown } from './description.ts';
import { whyNotStated } from './policy.ts';

/** The container's settings about its address. */
export interface AddressSettings {
  readonly ip?: string | undefined;
  readonly network?: string | undefined;
  readonly mode: Mode;
}

/** The part of the context that the choice depends on. */
export type AddressContext = Pick<
  RegistrarContext,
  | 'hostAddresses'
  | 'ip'
  | 'ipLabel'
  | 'networks'
  | 'ownNetworks'
  | 'compat'
  | 'envPrefix'
  | 'policy'
  | 'optionPrefix'
>;

/**
 * `parent`: the container whose network this one joined; `undefined` if it joined none, or if the parent does not
 * exist.
 */
export function chooseAddress(
  container: Container,
  port: Port | undefined,
  settings: AddressSettings,
  context: AddressContext,
  parent?: Container,
): AddressChoice {
  const joined = parentOf(container);
  const stated = settings.ip ?? labelAddress(container, parent, context.ipLabel);
  if (stated !== undefined)
    return statedAddress(stated, parent ?? container, port, settings.mode, context);
  if (joined === undefined) return ownAddress(container, port, settings, context);
  const reason = whyNotJoined(container, parent);
  if (reason !== undefined || parent === undefined)
    return waitingForAddress(`joined the network of a container that ${reason}`);
  return ownAddress(parent, port, settings, context, parent.name);
}

/** `joinedName`: the owner's name, if the described container joined its network. */
function ownAddress(
  owner: Container,
  port: Port | undefined,
  settings: AddressSettings,
  context: AddressContext,
  joinedName?: string,
): AddressChoice {
  if (parentOf(owner) !== undefined)
    return refusedAddress(
      'joined the network of a container that joined another one: join the last one directly',
    );
  if (owner.networkMode === 'none') return refusedAddress(whyNoNetwork(owner, port));
  if (owner.networkMode === 'host') return onHost(port?.number, context);
  if (settings.mode === 'internal')
    return onNetwork(owner, port?.number, settings.network, context);
  return port === undefined
    ? onHost(undefined, context)
    : publishedOn(owner, port, context, joinedName);
}

function whyNoNetwork(owner: Container, port: Port | undefined): string {
  const isPortRequested = port !== undefined && isRequested(owner, port);
  const requested = isPortRequested ? `, which publishes no port, ${printPort(port)} included` : '';
  return `is on the network none${requested}: put it on another network`;
}

/** Completes "joined the network of a container that". After a restart of its parent, a child stays in the parent's former network until its own restart. */
export function whyNotJoined(child: Container, parent: Container | undefined): string | undefined {
  if (parent === undefined) return 'does not exist';
  if (parent.state !== 'running') return `is ${parent.state}`;
  const [before, after] = [parseInstant(parent.startedAt), parseInstant(child.startedAt)];
  return before === undefined || after === undefined || before > after
    ? 'has restarted since: restart this one too'
    : undefined;
}

/** The address in a label. Network plugins write it with a prefix length: `10.0.0.5/24`. */
function labelAddress(
  container: Container,
  parent: Container | undefined,
  label: string | undefined,
): string | undefined {
  if (label === undefined) return undefined;
  const value = container.labels.get(label) ?? parent?.labels.get(label);
  return value?.replace(/\/[^/]*$/, '').trim() || undefined;
}

/** The stated address, with the port that the mode opens to clients. */
function statedAddress(
  text: string,
  owner: Container,
  port: Port | undefined,
  mode: Mode,
  context: AddressContext,
): AddressChoice {
  const bound = mode === 'published' && port !== undefined ? bindingsOf(owner, port)[0] : undefined;
  const endpoints: ReachableAt[] = [];
  for (const word of text.split(',', 3)) {
    const endpoint = endpointAt(word.trim(), bound?.hostPort ?? port?.number);
    if (endpoint === undefined)
      return refusedAddress(
        `states the address "${shown(word, 40)}": state an IP address that other hosts can reach`,
      );
    const reason = whyNotStated(endpoint.address, context);
    if (reason !== undefined) return refusedAddress(reason);
    if (endpoints.some(({ family }) => family === endpoint.family))
      return refusedAddress(
        `states more than one IPv${endpoint.family} address: state one of each family`,
      );
    endpoints.push(endpoint);
  }
  return chosenAddresses(endpoints, false);
}

function onHost(port: number | undefined, context: AddressContext): AddressChoice {
  const { v4, v6 } = hostAddresses(context);
  const endpoints = [v4, v6].flatMap((address) => endpointAt(address ?? '', port) ?? []);
  return endpoints.length > 0
    ? chosenAddresses(endpoints, false)
    : waitingForAddress(needsHostAddress('', context));
}

/** `family`: `IPv6 ` if only an address of that family helps, else empty. */
function needsHostAddress(family: string, { optionPrefix }: AddressContext): string {
  const option = `--${optionPrefix}ip`;
  return `needs this host's ${family}address, which is unknown: set ${option}`;
}

function hostAddresses({ ip, hostAddresses }: AddressContext): HostAddresses {
  if (ip === undefined) return hostAddresses;
  return addressFamily(ip) === 6 ? { v6: ip } : { v4: ip };
}

function publishedOn(
  owner: Container,
  port: Port,
  context: AddressContext,
  joinedName: string | undefined,
): AddressChoice {
  const bindings = bindingsOf(owner, port);
  if (bindings.length === 0) return whyNotBound(owner, port, context, joinedName);
  const endpoints: ReachableAt[] = [];
  const unknown = new Set<string>();
  for (const { hostIp, hostPort } of bindings) {
    const address = addressOfBinding(hostIp, context);
    if (address === undefined) unknown.add(hostIp.includes(':') ? 'IPv6 ' : '');
    const endpoint = endpointAt(address ?? '', hostPort);
    if (endpoint !== undefined && !endpoints.some(({ family }) => family === endpoint.family))
      endpoints.push(endpoint);
  }
  if (endpoints.length > 0) return chosenAddresses(endpoints, false);
  // One address of either family is enough.
  if (unknown.size > 0)
    return waitingForAddress(needsHostAddress(unknown.has('') ? '' : 'IPv6 ', context));
  const listed = bindings
    .slice(0, 3)
    .map(({ hostIp, hostPort }) => printSocketAddress({ address: hostIp, port: hostPort }));
  return refusedAddress(
    `is published at ${shown(listed.join(', '))}, which only this host can reach: publish it on another address`,
  );
}

/** The address under which other hosts reach a binding; `undefined` if it is the host's address, which is unknown. */
function addressOfBinding(hostIp: string, context: AddressContext): string | undefined {
  const { v4, v6 } = hostAddresses(context);
  if (isAnyAddress(hostIp)) return hostIp.includes(':') ? v6 : v4;
  // registrator's -ip applies to every published port.
  const isOverridden = context.compat.includes('registrator') && !isLoopbackText(hostIp);
  return isOverridden ? (context.ip ?? hostIp) : hostIp;
}

/** The bindings of a port in a fixed order. Bindings at a specific address come first. */
function bindingsOf(
  owner: Container,
  { number, protocol }: Port,
): { hostIp: string; hostPort: number }[] {
  const bindings = owner.published.find(
    (port) => port.number === number && port.protocol === protocol,
  )?.bindings;
  return [...(bindings ?? [])].sort(
    (a, b) =>
      Number(isAnyAddress(a.hostIp)) - Number(isAnyAddress(b.hostIp)) ||
      compareTexts(a.hostIp, b.hostIp) ||
      a.hostPort - b.hostPort,
  );
}

/** The host ports that are bound to a port and are not in its record, ascending. */
export function otherHostPorts(
  owner: Container,
  port: Port,
  { endpoints }: Extract<AddressChoice, { kind: 'endpoints' }>,
): number[] {
  const registered = new Set(endpoints.map((endpoint) => endpoint.port));
  const others = bindingsOf(owner, port).filter(
    ({ hostIp, hostPort }) => !isLoopbackText(hostIp) && !registered.has(hostPort),
  );
  return [...new Set(others.map(({ hostPort }) => hostPort))].sort((a, b) => a - b);
}

/**
 * Docker Desktop lists the ports shortly after the start. On some networks Docker publishes no ports and reports no
 * error.
 */
function whyNotBound(
  owner: Container,
  port: Port,
  context: AddressContext,
  joinedName: string | undefined,
): AddressChoice {
  if (!isRequested(owner, port)) {
    // Docker refuses -p for a container that joins the network of another one.
    const where =
      joinedName === undefined
        ? ''
        : ` on the container whose network it joined (${shown(joinedName, 40)})`;
    return refusedAddress(
      `does not publish port ${printPort(port)}: publish it with -p${where}, or use ${internalMode(context)}`,
    );
  }
  const wait = `waits for port ${printPort(port)} to be published`;
  const names = owner.networks.map(({ name }) => name);
  if (names.length === 0 || names.includes('bridge'))
    return { kind: 'waiting', reason: wait, isBinding: true };
  const fix = `if ${shown(names.join(', '), 60)} is one of these, use ${internalMode(context)}`;
  const reason = `${wait}: internal, macvlan and ipvlan networks publish none; ${fix}`;
  return { kind: 'waiting', reason, isBinding: true };
}

/** Podman's rootless networks: a container there has no address that another host can reach. */
const ADDRESSLESS = /^(?:slirp4netns|pasta)(?::|$)/;

function onNetwork(
  owner: Container,
  port: number | undefined,
  wanted: string | undefined,
  context: AddressContext,
): AddressChoice {
  const usable = owner.networks.filter(isUsable);
  if (wanted !== undefined) {
    if (!isUsable({ name: wanted }))
      return refusedAddress(
        `cannot be reached on the network ${wanted}: set ${context.envPrefix}NETWORK to another one`,
      );
    const network = usable.find((each) => isCalled(each, wanted));
    if (network === undefined) return waitingForAddress(`is not on the network ${shown(wanted)}`);
    return (
      atNetwork(network, port) ??
      waitingForAddress(`has no address on the network ${shown(wanted)} yet`)
    );
  }
  const own = owner.networkMode.replace(/^default$/, 'bridge');
  for (const network of [
    ...context.networks.flatMap((name) => usable.filter((one) => isCalled(one, name))),
    ...usable.filter((one) => context.ownNetworks.some((name) => isCalled(one, name))),
    ...usable.filter((one) => isCalled(one, own)),
    ...usable,
  ]) {
    const choice = atNetwork(network, port);
    if (choice !== undefined) return choice;
  }
  return whyNoAddress(owner, usable);
}

function whyNoAddress({ networks, networkMode }: Container, usable: readonly ContainerNetwork[]) {
  if (ADDRESSLESS.test(networkMode)) {
    const network = shown(networkMode.replace(/:.*$/s, ''));
    return refusedAddress(
      `has no address of its own on ${network}: publish a port, or use a bridge network`,
    );
  }
  if (usable.length === 0 && networks.some(({ name }) => name === 'ingress'))
    return waitingForAddress(
      "is only on swarm's ingress, where clients cannot reach it: attach an overlay network",
    );
  return waitingForAddress('has no address on a network yet');
}

function isCalled({ name, id }: ContainerNetwork, nameOrId: string): boolean {
  return name === nameOrId || (id !== '' && id === nameOrId);
}

function atNetwork(
  { v4, v6 }: ContainerNetwork,
  port: number | undefined,
): AddressChoice | undefined {
  const endpoints = [v4, v6].flatMap((address) => endpointAt(address ?? '', port) ?? []);
  return endpoints.length > 0 ? chosenAddresses(endpoints, true) : undefined;
}

/** The setting that registers the container's own address. */
function internalMode({ compat, envPrefix, optionPrefix }: AddressContext): string {
  if (compat.includes('registrator')) return `--${optionPrefix}mode internal`;
  return `${envPrefix}MODE=internal`;
}
