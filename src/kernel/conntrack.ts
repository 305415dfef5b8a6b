/** The flows that the kernel tracks in this network namespace: lists those of a filter, and deletes single ones. */
import {
  decodeFlow,
  encodeFlowDeletion,
  encodeFlowFilter,
  FLOW_DELETE,
  FLOW_GET,
  type FlowFilter,
  type TrackedFlow,
} from './conntrackMessage.ts';
import {
  NETLINK_NETFILTER,
  type NetlinkDump,
  type NetlinkSocket,
  openNetlink,
} from './netlinkSocket.ts';

export type ConntrackOpened =
  | { readonly kind: 'conntrack'; readonly conntrack: Conntrack }
  /** `reason` has no full stop. */
  | { readonly kind: 'missing'; readonly reason: string };

/** Needs CAP_NET_ADMIN, and a kernel with nf_conntrack_netlink, which is tried here. */
export function openConntrack(): ConntrackOpened {
  const opened = openNetlink(NETLINK_NETFILTER);
  if (opened.kind === 'missing') return opened;
  const conntrack = new Conntrack(opened.socket);
  const tried = conntrack.list({ family: 4, port: { protocol: 'tcp', number: 0 } });
  if (tried.kind === 'complete') return { kind: 'conntrack', conntrack };
  conntrack.close();
  return { kind: 'missing', reason: `connection tracking cannot be read: ${tried.code}` };
}

export class Conntrack {
  readonly #socket: NetlinkSocket;

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** The TCP and UDP flows that match. Flows that begin or end meanwhile may be in the list or not. */
  list(filter: FlowFilter): NetlinkDump<TrackedFlow> {
    return this.#socket.dump<TrackedFlow>(FLOW_GET, encodeFlowFilter(filter), (message, flows) => {
      const flow = decodeFlow(message, filter);
      if (flow !== undefined) flows.push(flow);
    });
  }

  /** Whether the entry existed until now. */
  delete(flow: TrackedFlow): boolean {
    return this.#socket.request(FLOW_DELETE, encodeFlowDeletion(flow)).kind === 'done';
  }

  close(): void {
    this.#socket.close();
  }
}
