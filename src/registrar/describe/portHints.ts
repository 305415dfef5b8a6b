/** Explains ports to the operator: why a container has no port to register, and which ports have no record. */
import type { AddressChoice } from './addressChoice.ts';
import { otherHostPorts } from './chooseAddress.ts';
import { type Container, isUsable, type Port, printPort } from './container.ts';
import { type Hints, shown } from './description.ts';
import type { ContainerSettings } from './metadata.ts';
import { isSwarmTask } from './names.ts';
import { publishedPorts } from './ports.ts';

/** A container, the container whose network it joined, and the prefix of variables. */
export interface PortOwner {
  readonly container: Container;
  readonly parent: Container | undefined;
  readonly prefix: string;
}

/** Why the container has no port to register, and the fix; completes the sentence that the container's name begins. */
export function whyNoPort({ container, parent, prefix }: PortOwner): string {
  const owner = parent ?? container;
  const internal = `${prefix}MODE=internal for its own address`;
  if (owner.networkMode === 'none')
    return 'is on the network none, which publishes no port: put it on another network';
  if (owner.networkMode === 'host')
    return `exposes no port on the host's network: set ${prefix}PORT to the port that it listens on, as in ${prefix}PORT=3000, or to 0 for an address without a port`;
  if (isSwarmTask(container)) return whyNoSwarmPort(owner, internal);
  if (parent !== undefined) return whyNoJoinedPort(container, parent, prefix);
  const alone = `${prefix}PORT=0 for the host's address without a port`;
  const exposed =
    container.exposed.length === 0 ? '' : `exposes ${listed(container.exposed)}, but `;
  return `${exposed}publishes no port: publish one with -p, or set ${internal}, or ${alone}`;
}

/** The inspection of a task lacks the ports that swarm publishes on every node. */
function whyNoSwarmPort({ networks }: Container, internal: string): string {
  const isOnMesh = networks.some(({ name }) => name === 'ingress');
  if (!isOnMesh) return `publishes no port: publish one with mode=host, or set ${internal}`;
  const overlay = networks.some(isUsable)
    ? `set ${internal}`
    : `attach an overlay network and set ${internal}`;
  return `is published by swarm's routing mesh only, which the container does not show: publish with mode=host, or ${overlay}`;
}

/** Docker refuses `-p` for a container that joins another one's network. */
function whyNoJoinedPort(container: Container, parent: Container, prefix: string): string {
  const published = publishedPorts(parent);
  const [first] = published;
  if (first === undefined)
    return `publishes no port: publish one with -p on the container whose network it joined (${shown(parent.name, 40)}), or set ${prefix}MODE=internal`;
  return `exposes ${listed(container.exposed)}, and the container whose network it joined publishes ${listed(published)}: set ${prefix}PORT=${first.number}`;
}

/** Adds hints about ports that the engine has bound and that are in no record. */
export function hintAtOtherPorts(
  port: Port,
  choice: Extract<AddressChoice, { kind: 'endpoints' }>,
  { container, parent, prefix }: PortOwner,
  settings: ContainerSettings,
  hints: Hints,
): void {
  const owner = parent ?? container;
  if (choice.isInternal || owner.networkMode === 'host') return;
  const registered = choice.endpoints[0]?.port;
  const others = otherHostPorts(owner, port, choice);
  if (others.length > 0)
    hints.add(
      `port ${printPort(port)} is published more than once: host port ${registered} is registered, and ${others.slice(0, 8).join(', ')} is not`,
    );
  const udp: Port = { number: port.number, protocol: 'udp' };
  const isNamed = settings.has(printPort(udp));
  if (port.protocol === 'udp' || isNamed) return;
  const udpPorts = otherHostPorts(owner, udp, choice);
  if (udpPorts.length > 0)
    hints.add(
      `port ${printPort(udp)}, at host port ${udpPorts.slice(0, 8).join(', ')}, is not registered beside ${printPort(port)}: name it with ${prefix}${port.number}_UDP_NAME`,
    );
}

/** Adds a hint about exposed ports without a record: on the host's network `-p` selects the ports with records. */
export function hintAtUnselectedPorts(container: Container, hints: Hints): void {
  if (container.networkMode !== 'host' || container.requested.length === 0) return;
  const selected = new Set(container.requested.map(printPort));
  const others = container.exposed.filter((port) => !selected.has(printPort(port)));
  if (others.length > 0)
    hints.add(
      `on the host's network only the ports of -p are registered (${listed(container.requested)}), not those that the image exposes (${listed(others)})`,
    );
}

function listed(ports: readonly Port[]): string {
  return shown(ports.slice(0, 8).map(printPort).join(', '));
}
