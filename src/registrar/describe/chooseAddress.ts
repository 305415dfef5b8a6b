/**
 * Where a container can be reached: the first that applies of an override, the network that it joined, the host's
 * network, a published port, a network of its own. The choice depends on nothing but its arguments, and an address is
 * never guessed or left empty: what is not known yet is waited for. Each reason continues "it" to a sentence.
 */
import {
  addressFamily,
  addressOctets,
  printAddress,
  printSocketAddress,
} from '../../dns/address.ts';
import { parseInstant } from '../engine/instants.ts';
import {
  type Container,
  type ContainerNetwork,
  compareTexts,
  type Port,
  parentOf,
  printPort,
} from './container.ts';
import type { HostAddresses, Mode, RegistrarContext } from './context.ts';
import { shown } from './description.ts';
import { whyNotStated } from './policy.ts';

/** Where others reach a container: an address with the port that is open there. */
export interface ReachableAt {
  /** Canonical text. */
  readonly address: string;
  readonly family: 4 | 6;
  readonly port: number | undefined;
}

export type AddressChoice =
  | {
      readonly kind: 'endpoints';
      /** One a family, IPv4 first; at least one. */
      readonly endpoints: readonly ReachableAt[];
      /** Whether they are the container's own on one of its networks. */
      readonly isInternal: boolean;
    }
  | { readonly kind: 'refused'; readonly reason: string }
  /** `isBinding`: for the engine, which publishes a container's ports all together a moment later, or none of them. */
  | { readonly kind: 'waiting'; readonly reason: string; readonly isBinding?: true };

/** What the container's metadata says about it. */
export interface AddressSettings {
  readonly ip?: string | undefined;
  readonly network?: string | undefined;
  readonly mode: Mode;
}

/** What is read of the context. */
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
>;

/** `parent`: the container whose network this one joined, `undefined` if it is gone or there is none. */
export function chooseAddress(
  container: Container,
  port: Port | undefined,
  wishes: AddressSettings,
  context: AddressContext,
  parent?: Container,
): AddressChoice {
  const joined = parentOf(container);
  const override = wishes.ip ?? labelAddress(container, parent, context.ipLabel);
  if (override !== undefined)
    return overridden(override, parent ?? container, port, wishes.mode, context);
  if (joined === undefined) return ownAddress(container, port, wishes, context);
  const reason = whyNotJoined(container, parent);
  if (reason !== undefined || parent === undefined)
    return waiting(`has joined the network of a container that ${reason}`);
  return ownAddress(parent, port, wishes, context);
}

function ownAddress(
  owner: Container,
  port: Port | undefined,
  wishes: AddressSettings,
  context: AddressContext,
): AddressChoice {
  if (parentOf(owner) !== undefined)
    return refused('has joined the network of a container that has joined another one');
  if (owner.networkMode === 'none') return refused(whyNoNetwork(owner, port));
  if (owner.networkMode === 'host') return onHost(port?.number, context);
  if (wishes.mode === 'internal') return onNetwork(owner, port?.number, wishes.network, context);
  return port === undefined ? onHost(undefined, context) : publishedOn(owner, port, context);
}

function whyNoNetwork(owner: Container, port: Port | undefined): string {
  const isAsked = port !== undefined && isRequested(owner, port);
  const asked = isAsked ? `, which publishes no port, ${printPort(port)} included` : '';
  return `is on the network none${asked}: put it on another network`;
}

/** A child lives on in a dead network when its parent has restarted, until it is restarted itself. */
function whyNotJoined(child: Container, parent: Container | undefined): string | undefined {
  if (parent === undefined) return 'is gone';
  if (parent.state !== 'running') return `is ${parent.state}`;
  const [before, after] = [parseInstant(parent.startedAt), parseInstant(child.startedAt)];
  return before === undefined || after === undefined || before > after
    ? 'has restarted since: restart this one too'
    : undefined;
}

/** As in `10.0.0.5/24`, which is what network plugins leave in labels. */
function labelAddress(
  container: Container,
  parent: Container | undefined,
  label: string | undefined,
): string | undefined {
  if (label === undefined) return undefined;
  const value = container.labels.get(label) ?? parent?.labels.get(label);
  return value?.replace(/\/[^/]*$/, '').trim() || undefined;
}

/** The address is somebody else's word; the port is still the one that is open to whoever the mode is for. */
function overridden(
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
      return refused(
        `is said to be at "${shown(word, 40)}", which is no IP address to be reached at`,
      );
    const reason = whyNotStated(endpoint.address, context);
    if (reason !== undefined) return refused(reason);
    if (endpoints.some(({ family }) => family === endpoint.family))
      return refused(`is said to have more than one IPv${endpoint.family} address`);
    endpoints.push(endpoint);
  }
  return chosen(endpoints, false);
}

function onHost(port: number | undefined, context: AddressContext): AddressChoice {
  const { v4, v6 } = hostAddresses(context);
  const endpoints = [v4, v6].flatMap((address) => endpointAt(address ?? '', port) ?? []);
  return endpoints.length > 0 ? chosen(endpoints, false) : waiting(needsHostAddress(''));
}

/** `family`: `IPv6 ` where one of the other family would be of no use. */
function needsHostAddress(family: string): string {
  return `needs this host's ${family}address, which is not known: start the registrar with --ip`;
}

function hostAddresses({ ip, hostAddresses }: AddressContext): HostAddresses {
  if (ip === undefined) return hostAddresses;
  return addressFamily(ip) === 6 ? { v6: ip } : { v4: ip };
}

function publishedOn(owner: Container, port: Port, context: AddressContext): AddressChoice {
  const bindings = bindingsOf(owner, port);
  if (bindings.length === 0) return whyNotBound(owner, port, context);
  const endpoints: ReachableAt[] = [];
  const unknown = new Set<string>();
  for (const { hostIp, hostPort } of bindings) {
    const address = addressOfBinding(hostIp, context);
    if (address === undefined) unknown.add(hostIp.includes(':') ? 'IPv6 ' : '');
    const endpoint = endpointAt(address ?? '', hostPort);
    if (endpoint !== undefined && !endpoints.some(({ family }) => family === endpoint.family))
      endpoints.push(endpoint);
  }
  if (endpoints.length > 0) return chosen(endpoints, false);
  // Of both families either will do.
  if (unknown.size > 0) return waiting(needsHostAddress(unknown.has('') ? '' : 'IPv6 '));
  const listed = bindings
    .slice(0, 3)
    .map(({ hostIp, hostPort }) => printSocketAddress({ address: hostIp, port: hostPort }));
  return refused(`is published at ${shown(listed.join(', '))}, where only this host reaches it`);
}

/** The address that a binding is reached at from elsewhere, `undefined` if it is the host's and that is not known. */
function addressOfBinding(hostIp: string, context: AddressContext): string | undefined {
  const { v4, v6 } = hostAddresses(context);
  if (isAnyAddress(hostIp)) return hostIp.includes(':') ? v6 : v4;
  // registrator's -ip is for every published port.
  const isOverridden = context.compat === 'registrator' && !isLoopback(hostIp);
  return isOverridden ? (context.ip ?? hostIp) : hostIp;
}

/** Specific addresses first, each kind in a fixed order. */
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

/** The host ports of a port that one name cannot have besides the one that it gets; in order. */
export function otherHostPorts(
  owner: Container,
  port: Port,
  { endpoints }: Extract<AddressChoice, { kind: 'endpoints' }>,
): number[] {
  const registered = new Set(endpoints.map((endpoint) => endpoint.port));
  const others = bindingsOf(owner, port).filter(
    ({ hostIp, hostPort }) => !isLoopback(hostIp) && !registered.has(hostPort),
  );
  return [...new Set(others.map(({ hostPort }) => hostPort))].sort((a, b) => a - b);
}

/** Whether it was asked for with `-p` or `-P`, be it bound or not. */
function isRequested({ requested, publishesAll, exposed }: Container, port: Port): boolean {
  const isPort = (one: Port) => printPort(one) === printPort(port);
  return requested.some(isPort) || (publishesAll && exposed.some(isPort));
}

/** Docker Desktop tells the ports a moment after the start; of some networks Docker publishes none, without a word. */
function whyNotBound(owner: Container, port: Port, context: AddressContext): AddressChoice {
  if (!isRequested(owner, port)) return refused(`does not publish port ${printPort(port)}`);
  const asked = `waits for port ${printPort(port)} to be published`;
  const names = owner.networks.map(({ name }) => name);
  if (names.length === 0 || names.includes('bridge')) return binding(asked);
  const mode = context.compat === 'dns' ? `${context.envPrefix}MODE=internal` : '--mode internal';
  const fix = `if ${shown(names.join(', '), 60)} is one of these, use ${mode}`;
  return binding(`${asked}: internal, macvlan and ipvlan networks publish none; ${fix}`);
}

/** Networks that lead nowhere for others; swarm's ingress has addresses, but nothing listens there. */
const UNUSABLE = ['ingress', 'docker_gwbridge', 'none', 'host'];
/** Whether others may reach a container on it. */
export function isUsable({ name }: ContainerNetwork): boolean {
  return !UNUSABLE.includes(name);
}

/** Podman's networks of a user: the container shares an address that nobody else reaches. */
const ADDRESSLESS = /^(?:slirp4netns|pasta)(?::|$)/;

function onNetwork(
  owner: Container,
  port: number | undefined,
  wish: string | undefined,
  context: AddressContext,
): AddressChoice {
  const usable = owner.networks.filter(isUsable);
  if (wish !== undefined) {
    if (UNUSABLE.includes(wish)) return refused(`cannot be reached on the network ${wish}`);
    const wished = usable.find((network) => isCalled(network, wish));
    if (wished === undefined) return waiting(`is not on the network ${shown(wish)}`);
    return atNetwork(wished, port) ?? waiting(`has no address on the network ${shown(wish)} yet`);
  }
  const own = owner.networkMode === 'default' ? 'bridge' : owner.networkMode;
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
    return refused(
      `has no address of its own on ${network}: publish a port, or use a bridge network`,
    );
  }
  if (usable.length === 0 && networks.some(({ name }) => name === 'ingress'))
    return waiting(
      "is only on swarm's ingress, where nothing reaches it: attach an overlay network",
    );
  return waiting('has no address on a network yet');
}

function isCalled({ name, id }: ContainerNetwork, nameOrId: string): boolean {
  return name === nameOrId || (id !== '' && id === nameOrId);
}

function atNetwork(
  { v4, v6 }: ContainerNetwork,
  port: number | undefined,
): AddressChoice | undefined {
  const endpoints = [v4, v6].flatMap((address) => endpointAt(address ?? '', port) ?? []);
  return endpoints.length > 0 ? chosen(endpoints, true) : undefined;
}

/** `undefined` if the text is no address, or one that no other host can reach. */
function endpointAt(text: string, port: number | undefined): ReachableAt | undefined {
  const family = addressFamily(text);
  if (family === 0 || isAnyAddress(text) || isLoopback(text)) return undefined;
  const octets = addressOctets(text);
  const first = octets[0] as number;
  // Multicast and above, "this network" (RFC 1122 §3.2.1.3), link-local (RFC 3927, RFC 4291 §2.5.6), IPv4-mapped.
  const isUnusable =
    family === 4
      ? first >= 224 || first === 0 || (first === 169 && octets[1] === 254)
      : first === 0xff ||
        first === 0 ||
        (first === 0xfe && ((octets[1] as number) & 0xc0) === 0x80);
  return isUnusable ? undefined : { address: printAddress(octets), family, port };
}

function isAnyAddress(text: string): boolean {
  return text === '' || text === '0.0.0.0' || text === '::';
}

function isLoopback(text: string): boolean {
  return text.startsWith('127.') || text === '::1';
}

function chosen(endpoints: readonly ReachableAt[], isInternal: boolean): AddressChoice {
  const ordered = [...endpoints].sort((a, b) => a.family - b.family);
  return { kind: 'endpoints', endpoints: ordered, isInternal };
}

function refused(reason: string): AddressChoice {
  return { kind: 'refused', reason };
}

function binding(reason: string): AddressChoice {
  return { kind: 'waiting', reason, isBinding: true };
}

function waiting(reason: string): AddressChoice {
  return { kind: 'waiting', reason };
}
