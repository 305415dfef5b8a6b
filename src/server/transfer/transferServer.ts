/**
 * server/transfer/: Gives our zones to secondaries: versions, transfers over TCP, and messages about new versions.
 * Imports: dns, server/tcp, service, timing, transfer, zone, zone/tree.
 * Used by: app/answering.
 *
 * Every packet that the answer table does not answer passes here first. The signature is judged before anything else
 * (RFC 8945 §5.2), and the reply to a signed query is signed. Questions for a zone are answered here: over TCP as a
 * stream of messages, over UDP with the SOA alone, which sends a client with an older version to TCP (RFC 1995 §2).
 */
import { accept } from '../../dns/accept.ts';
import { encodeResponse } from '../../dns/encode.ts';
import {
  authoritative,
  type DnsClient,
  Ede,
  type Query,
  type Respond,
  type Response,
  refused,
  servfail,
} from '../../dns/message.ts';
import { type Name, printName } from '../../dns/name.ts';
import { Rcode, Type } from '../../dns/rr.ts';
import { replyLimit } from '../../dns/truncate.ts';
import { TransferMessages } from '../../transfer/messages.ts';
import { readTransferQuery, type TransferQuery } from '../../transfer/transferQuery.ts';
import type { MayTransfer } from '../../transfer/transferRules.ts';
import { type TsigSigner, verifyTsig } from '../../transfer/tsig.ts';
import type { TsigKeys } from '../../transfer/tsigKeys.ts';
import type { TransferContents, ZoneVersions } from '../../transfer/zoneVersions.ts';
import type { QueryReplies } from '../tcp/tcpConnection.ts';
import { singleReply, TransferStream } from './transferStream.ts';

export interface TransferServerOptions {
  /** Answers all other queries. */
  readonly respond: Respond;
  readonly keys: () => TsigKeys;
  /** `undefined`: the server transfers no zone. */
  readonly policy: () => MayTransfer | undefined;
  /** The zone with exactly that apex. */
  readonly zoneOf: (apex: Name) => ZoneVersions | undefined;
  /** Whether the name is an apex of ours, which may not have been read yet. */
  readonly isApex: (name: Name) => boolean;
  /** Transfers at a time. */
  readonly mostTransfers: () => number;
  readonly maxUdpOctets: number;
  /** Whether this reply over UDP is within the client's rate limit. `respond` limits its own. */
  readonly mayReply: (client: DnsClient) => boolean;
  readonly unixSeconds: () => number;
  readonly monotonicMs: () => number;
  readonly onTransfer: (report: TransferReport) => void;
  /** Receives errors that are bugs. Must not throw. */
  readonly onError: (error: unknown) => void;
}

export type TransferKind = 'axfr' | 'ixfr' | 'soa';
export type TransferResult = 'sent' | 'broken' | 'refused' | 'busy' | 'not-ready';

/** For metrics and the log. */
export interface TransferReport {
  readonly client: DnsClient;
  readonly zone: Name;
  readonly kind: TransferKind;
  readonly result: TransferResult;
  /** Of the version that was sent. */
  readonly serial?: number;
  readonly messages?: number;
  readonly tookMs?: number;
}

/** A query whose signature was judged. */
interface JudgedQuery {
  readonly message: Uint8Array;
  readonly signer: TsigSigner | undefined;
  readonly client: DnsClient;
}

export class TransferServer {
  readonly #options: TransferServerOptions;
  #running = 0;

  constructor(options: TransferServerOptions) {
    this.#options = options;
  }

  /** Transfers that are being sent. */
  get running(): number {
    return this.#running;
  }

  /** Answers any packet with one reply. */
  readonly respond: Respond = (packet, client, send) => {
    try {
      this.#respond(packet, client, send);
    } catch (error) {
      this.#options.onError(error);
    }
  };

  /** The replies to a question for a zone over TCP; `undefined` if the packet is something else. */
  open(packet: Uint8Array, client: DnsClient): QueryReplies | undefined {
    try {
      return this.#open(packet, client);
    } catch (error) {
      this.#options.onError(error);
      return undefined;
    }
  }

  #respond(packet: Uint8Array, client: DnsClient, send: (reply: Uint8Array) => void): void {
    const sendOwn = (reply: Uint8Array): void => {
      if (this.#options.mayReply(client)) send(reply);
    };
    const judged = this.#judge(packet, client);
    if (judged instanceof Uint8Array) {
      sendOwn(judged);
      return;
    }
    const { message, signer } = judged;
    const transfer = readTransferQuery(message);
    if (transfer !== undefined) {
      const reply = this.#overUdp(judged, transfer);
      if (reply !== undefined) sendOwn(reply);
      return;
    }
    const { respond } = this.#options;
    if (signer === undefined) respond(message, client, send);
    else respond(message, roomyClient(judged), (reply) => send(this.#sign(judged, reply)));
  }

  #open(packet: Uint8Array, client: DnsClient): QueryReplies | undefined {
    if (readTransferQuery(packet) === undefined) return undefined;
    const judged = this.#judge(packet, client);
    if (judged instanceof Uint8Array) return singleReply(judged);
    const transfer = readTransferQuery(judged.message);
    return transfer && this.#overTcp(judged, transfer);
  }

  /** The reply, if the signature is wrong. Without keys a signature is left to `respond`. */
  #judge(packet: Uint8Array, client: DnsClient): JudgedQuery | Uint8Array {
    const { keys, unixSeconds } = this.#options;
    const known = keys();
    const unsigned = { message: packet, signer: undefined, client };
    if (known.size === 0) return unsigned;
    const verified = verifyTsig(packet, known, unixSeconds());
    if (verified.kind === 'unsigned') return unsigned;
    if (verified.kind === 'malformed')
      return this.#error({ ...unsigned, message: verified.message }, Rcode.FORMERR) ?? unsigned;
    const judged = { message: verified.message, signer: verified.signer, client };
    if (verified.kind === 'signed') return judged;
    return this.#error(judged, Rcode.NOTAUTH) ?? unsigned;
  }

  /** A reply without records; none for a packet that is no query: the error would not fit one. */
  #error(judged: JudgedQuery, rcode: number): Uint8Array | undefined {
    const read = accept(plainOf(judged.message), judged.client.port);
    if (read.kind !== 'query') return undefined;
    const response = { ...authoritative(rcode, []), authoritative: false };
    return this.#reply(judged, read.query, response);
  }

  /** `undefined`: the client gets no reply. */
  #overUdp(judged: JudgedQuery, transfer: TransferQuery): Uint8Array | undefined {
    const { client } = judged;
    const read = accept(transfer.packet, client.port);
    if (read.kind !== 'query') return read.kind === 'reject' ? read.reply : undefined;
    const { query } = read;
    const isIncremental = query.question.qtype === Type.IXFR;
    const zone = this.#zoneFor(judged, query, isIncremental ? 'soa' : 'axfr');
    if (!('apex' in zone)) return this.#reply(judged, query, zone);
    if (!isIncremental) {
      this.#report(judged, query, { kind: 'axfr', result: 'refused' });
      return this.#reply(judged, query, refused('AXFR needs TCP'));
    }
    this.#report(judged, query, { kind: 'soa', result: 'sent', serial: zone.serial });
    const reply = this.#messages(judged, query, [zone.soa()]).next();
    return reply && this.#sign(judged, reply);
  }

  #overTcp(judged: JudgedQuery, transfer: TransferQuery): QueryReplies {
    const read = accept(transfer.packet, judged.client.port);
    if (read.kind !== 'query') return singleReply(read.kind === 'reject' ? read.reply : undefined);
    const { query } = read;
    const { serial } = transfer;
    const zone = this.#zoneFor(judged, query, serial === undefined ? 'axfr' : 'ixfr');
    if (!('apex' in zone)) return singleReply(this.#reply(judged, query, zone));
    if (this.#running >= this.#options.mostTransfers()) {
      this.#report(judged, query, { kind: serial === undefined ? 'axfr' : 'ixfr', result: 'busy' });
      return singleReply(this.#reply(judged, query, refused('too many transfers', Ede.OTHER)));
    }
    return this.#stream(
      judged,
      query,
      zone,
      serial === undefined ? zone.whole() : zone.since(serial),
    );
  }

  #stream(
    judged: JudgedQuery,
    query: Query,
    zone: ZoneVersions,
    contents: TransferContents,
  ): QueryReplies {
    const { unixSeconds, monotonicMs, onError } = this.#options;
    const { serial } = zone;
    const beganMs = monotonicMs();
    const kind = KINDS[contents.kind];
    const records = contents.kind === 'same' ? [contents.soa] : contents.records;
    const stream = new TransferStream({
      messages: this.#messages(judged, query, records),
      signer: judged.signer,
      ...{ unixSeconds, onError },
      onClosed: (isWhole, messages) => {
        this.#running--;
        const tookMs = monotonicMs() - beganMs;
        const result = isWhole ? 'sent' : 'broken';
        this.#report(judged, query, { kind, result, serial, messages, tookMs });
      },
    });
    this.#running++;
    return stream;
  }

  #messages(
    { signer }: JudgedQuery,
    { id, question, edns }: Query,
    records: ConstructorParameters<typeof TransferMessages>[1],
  ): TransferMessages {
    const addedOctets = signer?.addedOctets ?? 0;
    return new TransferMessages(
      { id, question, hasEdns: edns !== undefined, addedOctets },
      records,
    );
  }

  /** The zone that the client may have, or the reply. */
  #zoneFor(judged: JudgedQuery, query: Query, kind: TransferKind): ZoneVersions | Response {
    const { policy, isApex, zoneOf } = this.#options;
    const { qname } = query.question;
    const may = policy();
    const isAllowed = may?.(judged.client.address, judged.signer?.keyName) === true;
    if (!isAllowed) {
      this.#report(judged, query, { kind, result: 'refused' });
      return refused(
        may === undefined ? 'zone transfer is not offered' : 'zone transfer is not allowed',
      );
    }
    if (!isApex(qname)) {
      this.#report(judged, query, { kind, result: 'refused' });
      // RFC 5936 §2.2.1.
      return { ...refused('not one of our zones'), rcode: Rcode.NOTAUTH };
    }
    const zone = zoneOf(qname);
    if (zone !== undefined) return zone;
    this.#report(judged, query, { kind, result: 'not-ready' });
    return servfail(Ede.NOT_READY, `the zone ${printName(qname)} has not been read yet`);
  }

  #reply(judged: JudgedQuery, query: Query, response: Response): Uint8Array {
    const limit = replyLimit(query, roomyClient(judged), this.#options.maxUdpOctets);
    return this.#sign(judged, encodeResponse(query, response, limit));
  }

  /** The reply, signed if the query is. */
  #sign({ signer }: JudgedQuery, reply: Uint8Array): Uint8Array {
    return signer === undefined ? reply : signer.sign(reply, this.#options.unixSeconds());
  }

  #report(
    { client }: JudgedQuery,
    { question }: Query,
    facts: Omit<TransferReport, 'client' | 'zone'>,
  ): void {
    this.#options.onTransfer({ client, zone: question.qname, ...facts });
  }
}

/** The client, whose reply has to leave room for its signature. */
function roomyClient({ client, signer }: JudgedQuery): DnsClient {
  return signer === undefined ? client : { ...client, addedOctets: signer.addedOctets };
}

const KINDS: Readonly<Record<TransferContents['kind'], TransferKind>> = {
  same: 'soa',
  differences: 'ixfr',
  zone: 'axfr',
};

/** A question for a zone without its authority section, which `accept` does not take. */
function plainOf(message: Uint8Array): Uint8Array {
  return readTransferQuery(message)?.packet ?? message;
}
