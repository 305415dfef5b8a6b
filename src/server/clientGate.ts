/** Applies the client policy on the slow path, to queries that `accept` has read. */
import { AddressRanges } from '../dataplane/sockets/addressRanges.ts';
import {
  type ClientPolicy,
  PLAIN_POLICY,
  type PolicyFollower,
} from '../dataplane/sockets/clientPolicy.ts';
import { OptionCode } from '../dns/edns.ts';
import type { DnsClient, Query, ReplyOption } from '../dns/message.ts';

export class ClientGate implements PolicyFollower {
  #allowed: AddressRanges | undefined;
  #nsid: ReplyOption | undefined;

  constructor(policy: ClientPolicy = PLAIN_POLICY) {
    this.setPolicy(policy);
  }

  setPolicy({ allowed, nsid }: ClientPolicy): void {
    this.#allowed = allowed && new AddressRanges(allowed);
    this.#nsid =
      nsid === undefined ? undefined : { code: OptionCode.NSID, data: Buffer.from(nsid) };
  }

  /** Whether the client gets answers. UDP listeners have dropped the packets of other clients. */
  admits({ transport, address }: DnsClient): boolean {
    return transport === 'udp' || this.#allowed === undefined || this.#allowed.hasAddress(address);
  }

  /** The options of the reply's OPT; `undefined` for none. */
  optionsFor({ edns }: Query): readonly ReplyOption[] | undefined {
    return edns?.nsid === true && this.#nsid !== undefined ? [this.#nsid] : undefined;
  }
}
