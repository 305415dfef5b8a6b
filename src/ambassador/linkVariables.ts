/**
 * The variables that Docker's `--link` sets in a consumer: names, values and order are those of moby's `daemon/links`
 * in Docker 28. Pure.
 */
import { printSocketAddress } from '../dns/address.ts';
import type { ExposedPort } from '../service/linking.ts';

/** A port of a linked service. */
export interface ReachedPort {
  /** The container's own port, after which the variables are named. */
  readonly exposed: ExposedPort;
  /** Where consumers reach it: an IP address or a host name, and a port. */
  readonly host: string;
  readonly port: number;
}

export interface LinkedService {
  readonly alias: string;
  /** The value of `ALIAS_NAME`; Docker's is `/consumer/alias`. */
  readonly name: string;
  /** In any order; number and protocol of each differ from the others'. */
  readonly ports: readonly ReachedPort[];
  /** Pairs that become `ALIAS_ENV_*`; as in Docker, HOME and PATH do not. */
  readonly env: readonly Variable[];
}

export interface Variable {
  readonly name: string;
  readonly value: string;
}

/** `docker`: a dot of the alias stays, so no shell can read the variable. `safe`: names are identifiers of a shell. */
export type Spelling = 'docker' | 'safe';

export function linkVariables(link: LinkedService, spelling: Spelling): readonly Variable[] {
  const prefix = variablePrefix(link.alias, spelling);
  const shared = link.env.filter(({ name }) => name !== 'HOME' && name !== 'PATH');
  const env = shared.map(({ name, value }) => {
    return { name: `${prefix}_ENV_${spelling === 'safe' ? asIdentifier(name) : name}`, value };
  });
  return [
    ...portVariables(prefix, link.ports),
    { name: `${prefix}_NAME`, value: link.name },
    ...env,
  ];
}

/** What all variables of an alias begin with. */
export function variablePrefix(alias: string, spelling: Spelling): string {
  const prefix = alias.toUpperCase().replaceAll('-', '_');
  if (spelling === 'docker') return prefix;
  return /^[0-9]/.test(prefix) ? `_${asIdentifier(prefix)}` : asIdentifier(prefix);
}

function asIdentifier(name: string): string {
  return name.replace(/[^A-Za-z0-9_]/g, '_');
}

function portVariables(prefix: string, ports: readonly ReachedPort[]): readonly Variable[] {
  const sorted = [...ports].sort(compareExposed);
  const [first] = sorted;
  if (first === undefined) return [];
  const variables = [{ name: `${prefix}_PORT`, value: urlOf(first) }];
  let [start, end] = [first, first];
  for (const [i, port] of sorted.entries()) {
    variables.push(...variablesOfPort(prefix, port));
    const isNext = follows(end, port);
    if (isNext) end = port;
    if (isNext && i < sorted.length - 1) continue;
    // As in moby, the variables of a range come after those of the port behind it.
    if (end !== start) variables.push(...variablesOfRange(prefix, start, end));
    [start, end] = [port, port];
  }
  return variables;
}

/** TCP first, then by number. */
function compareExposed({ exposed: a }: ReachedPort, { exposed: b }: ReachedPort): number {
  if (a.protocol !== b.protocol) return a.protocol === 'tcp' ? -1 : 1;
  return a.number - b.number;
}

/** Whether the port continues a range. Ports that are published elsewhere must be consecutive there too. */
function follows(end: ReachedPort, next: ReachedPort): boolean {
  return (
    next.exposed.number === end.exposed.number + 1 &&
    next.exposed.protocol === end.exposed.protocol &&
    next.host === end.host &&
    next.port === end.port + 1
  );
}

function variablesOfPort(prefix: string, port: ReachedPort): readonly Variable[] {
  const name = portName(prefix, port);
  return [
    { name, value: urlOf(port) },
    { name: `${name}_ADDR`, value: port.host },
    { name: `${name}_PORT`, value: `${port.port}` },
    { name: `${name}_PROTO`, value: port.exposed.protocol },
  ];
}

function variablesOfRange(
  prefix: string,
  start: ReachedPort,
  end: ReachedPort,
): readonly Variable[] {
  const name = portName(prefix, start);
  return [
    { name: `${name}_START`, value: urlOf(start) },
    { name: `${name}_PORT_START`, value: `${start.port}` },
    { name: `${name}_END`, value: urlOf(end) },
    { name: `${name}_PORT_END`, value: `${end.port}` },
  ];
}

function portName(prefix: string, { exposed }: ReachedPort): string {
  return `${prefix}_PORT_${exposed.number}_${exposed.protocol.toUpperCase()}`;
}

function urlOf({ exposed, host, port }: ReachedPort): string {
  return `${exposed.protocol}://${printSocketAddress({ address: host, port })}`;
}
