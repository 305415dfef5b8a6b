/**
 * Links at a container's own 127.0.0.1: a table in the container's network leads its connections to the host's address
 * on one of its networks, where the host knows them by their source. So the table follows from the container alone,
 * and not from the targets of its links. It ends with the container's network.
 */
import type { MessagePort } from 'node:worker_threads';
import { addressOctets, printAddress } from '../../dns/address.ts';
import { openNft } from '../../kernel/libnftables.ts';
import { allowRoutedLocalnet, inNetworkOf } from '../../kernel/networkNamespace.ts';
import type { Protocol } from '../route.ts';

/** The links of one container. */
export interface LocalLinks {
  /** The start of the container's id, 12 hexadecimal digits. */
  readonly id: string;
  /** A process in the container's network. */
  readonly pid: number;
  /** The host's IPv4 address on a network of the container. */
  readonly gateway: string;
  readonly ports: readonly { readonly number: number; readonly protocol: Protocol }[];
}

/** Why the links of a container are not at its 127.0.0.1; undefined: they are. */
export interface LocalLinksReport {
  readonly id: string;
  readonly refusal: string | undefined;
}

/** The thread writes a table for each message that it receives, and answers each with a report. */
export function runLocalLinksThread(port: MessagePort): void {
  port.on('message', (links: LocalLinks) => {
    port.postMessage({ id: links.id, refusal: writeLocalLinks(links) } satisfies LocalLinksReport);
  });
}

/** Returns why it could not, without a full stop. Containers that share a network have a table each. */
export function writeLocalLinks(links: LocalLinks): string | undefined {
  const commands = localTable(links);
  const entered = inNetworkOf(links.pid, () => {
    // The socket of an open library belongs to the network in which it was opened.
    const opened = openNft();
    if (opened.kind === 'missing') return opened.reason;
    const outcome = opened.nft.run(commands);
    opened.nft.close();
    if (outcome.kind === 'refused') return `nft: ${outcome.reason}`;
    const allowed = allowRoutedLocalnet();
    return allowed.kind === 'failed' ? `route_localnet: ${allowed.code}` : undefined;
  });
  return entered.kind === 'failed' ? entered.reason : entered.value;
}

/** Throws RangeError for text that is no id. */
export function localTable({ id, gateway, ports }: LocalLinks): string {
  if (!/^[0-9a-f]{12}$/.test(id)) throw new RangeError('no container has such an id');
  const table = `table ip soradns_${id}`;
  const elements = ports.map(({ number, protocol }) => `${protocol} . ${number}`).join(', ');
  const to = printAddress(addressOctets(gateway));
  return [
    `add ${table}`,
    `delete ${table}`,
    `${table} {`,
    `set ports { type inet_proto . inet_service; elements = { ${elements} }; }`,
    'chain from_container {',
    // Docker's own resolver is at 127.0.0.11.
    'type nat hook output priority -101; policy accept;',
    `ip daddr 127.0.0.1 meta l4proto . th dport @ports dnat to ${to}`,
    '}',
    'chain after_routing {',
    'type nat hook postrouting priority srcnat - 1; policy accept;',
    `ip saddr 127.0.0.0/8 oif != lo ct status dnat ct original ip daddr 127.0.0.1 masquerade`,
    '}',
    // With route_localnet a neighbour could otherwise send to what listens at 127.0.0.1 alone.
    'chain arrived {',
    'type filter hook prerouting priority raw; policy accept;',
    'iif != lo ip daddr 127.0.0.0/8 drop',
    '}',
    '}',
  ].join('\n');
}
