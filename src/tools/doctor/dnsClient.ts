/**
 * A DNS client that reads replies with dns2; the only importer of dns2. It sends its queries itself, because dns2's
 * clients send no OPT record, have no deadline over TCP, and do not notice a closed UDP port.
 */
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { Packet, type Resource } from 'dns2';
import { familyOfAddress } from '../../dns/address.ts';
import { OptionCode, UDP_SIZE } from '../../dns/edns.ts';
import { encodeQuery } from '../../dns/encode.ts';
import { frame } from '../../dns/framing.ts';
import type { ExtendedError } from '../../dns/message.ts';
import { equalNames, type Label, type Name, utf8Octets } from '../../dns/name.ts';
import { Class, Rcode, type Rdata, type Rr, Type } from '../../dns/rr.ts';
import { withDeadline } from '../../timing/deadline.ts';

export interface DnsQuery {
  readonly name: Name;
  readonly type: number;
  /** IN by default. */
  readonly class?: number;
  /** IP address. */
  readonly address: string;
  readonly port: number;
  readonly transport: 'udp' | 'tcp';
  readonly timeoutMs: number;
}

export interface DnsReply {
  readonly rcode: number;
  readonly authoritative: boolean;
  readonly truncated: boolean;
  readonly recursionAvailable: boolean;
  readonly answer: readonly Rr[];
  readonly authority: readonly Rr[];
  readonly additional: readonly Rr[];
  /** The number of records that could not be decoded. */
  readonly malformed: number;
  /** RFC 8914; in their order. */
  readonly extendedErrors: readonly ExtendedError[];
}

export type DnsQueryResult =
  | { readonly kind: 'reply'; readonly reply: DnsReply }
  | { readonly kind: 'noReply'; readonly reason: string }
  /** dns2 cannot read the reply to this. */
  | { readonly kind: 'unsupported'; readonly reason: string };

/** dns2 keeps the octets of a type that it cannot decode. Its decoders for these types lose octets that are not UTF-8. */
for (const type of ['CAA', 'SPF']) {
  delete (Packet.Resource as unknown as Record<string, unknown>)[type];
}

/** Queries once, over one transport; again without OPT if the server is too old for it. Never rejects. */
export async function queryDns(question: DnsQuery): Promise<DnsQueryResult> {
  if (question.name.some((label) => label.includes('.')))
    return { kind: 'unsupported', reason: 'a label with a dot in it' };
  const { timeoutMs } = question;
  const ending = new AbortController();
  try {
    const packet = await withDeadline(exchange(question, ending.signal), timeoutMs, () => {
      throw new Error(`no reply in ${timeoutMs} ms`);
    });
    return isAnswerTo(packet, question)
      ? { kind: 'reply', reply: replyOf(packet) }
      : { kind: 'noReply', reason: 'the reply answers another question' };
  } catch (error) {
    return { kind: 'noReply', reason: error instanceof Error ? error.message : String(error) };
  } finally {
    ending.abort();
  }
}

async function exchange(question: DnsQuery, signal: AbortSignal): Promise<Packet> {
  const send = question.transport === 'tcp' ? sendOverTcp : sendOverUdp;
  const reply = await send(question, queryOf(question, true), signal);
  return isEdnsRefusal(reply) ? send(question, queryOf(question, false), signal) : reply;
}

/** The OPT record lets the server add extended errors (RFC 8914). */
function queryOf(
  { name: qname, type: qtype, class: qclass = Class.IN }: DnsQuery,
  hasOpt: boolean,
): Uint8Array {
  return encodeQuery({
    id: randomInt(0x10000),
    question: { qname, qtype, qclass },
    recursionDesired: true,
    checkingDisabled: false,
    edns: hasOpt ? { udpSize: UDP_SIZE, dnssecOk: false } : undefined,
  });
}

/** RFC 6891 §7: servers from before EDNS reply FORMERR, some NOTIMP, without an OPT record of their own. */
function isEdnsRefusal({ header, additionals }: Packet): boolean {
  const isRefusal = header.rcode === Rcode.FORMERR || header.rcode === Rcode.NOTIMP;
  return isRefusal && !additionals.some(({ type }) => type === Type.OPT);
}

type Send = (to: DnsQuery, query: Uint8Array, signal: AbortSignal) => Promise<Packet>;

/** The socket is connected, so the kernel drops packets from other addresses and reports a closed port. */
const sendOverUdp: Send = ({ address, port }, query, signal) =>
  new Promise((resolve, reject) => {
    const socket = createSocket({ type: familyOfAddress(address) === 6 ? 'udp6' : 'udp4', signal });
    socket.on('error', reject);
    socket.on('connect', () => socket.send(query));
    socket.on('message', (octets) => {
      // The reply has the id of the query; a packet that cannot be read is not the reply.
      if (octets[0] !== query[0] || octets[1] !== query[1]) return;
      const packet = parsed(octets);
      if (packet !== undefined) resolve(packet);
    });
    socket.connect(port, address);
  });

const sendOverTcp: Send = async ({ address, port }, query, signal) => {
  const socket = connect({ host: address, port, signal });
  // An error after the reply has no other listener.
  socket.on('error', () => {});
  socket.write(frame(query));
  const octets = await Packet.readStream(socket);
  socket.destroy();
  return Packet.parse(octets);
};

function parsed(octets: Buffer): Packet | undefined {
  try {
    return Packet.parse(octets);
  } catch {
    return undefined;
  }
}

function isAnswerTo({ header, questions }: Packet, { name, type }: DnsQuery): boolean {
  const [question] = questions;
  if (header.qr !== 1) return false;
  // A server may omit the question in an error about the whole message (RFC 1035 §7.3).
  if (question === undefined) return header.rcode !== 0;
  return question.type === type && equalNames(nameOf(question.name), name);
}

function replyOf(packet: Packet): DnsReply {
  const { header, answers, authorities, additionals } = packet;
  const opt = additionals.find(({ type }) => type === Type.OPT);
  const upperBits = opt === undefined ? 0 : ((opt.ttl ?? 0) >>> 24) & 0xff;
  return {
    rcode: (upperBits << 4) | header.rcode,
    authoritative: header.aa === 1,
    truncated: header.tc === 1,
    recursionAvailable: header.ra === 1,
    answer: answers.map(rrOf),
    authority: authorities.map(rrOf),
    additional: additionals.filter(({ type }) => type !== Type.OPT).map(rrOf),
    malformed: packet.errors.length,
    extendedErrors: (opt as Dns2Opt | undefined)?.rdata?.flatMap(extendedErrorOf) ?? [],
  };
}

/** dns2's OPT record, whose options its types do not describe. */
interface Dns2Opt {
  readonly rdata?: readonly Dns2Option[];
}

interface Dns2Option {
  readonly ednsCode?: number;
  readonly infoCode?: number;
  readonly extraText?: string;
}

function extendedErrorOf({ ednsCode, infoCode, extraText }: Dns2Option): readonly ExtendedError[] {
  if (ednsCode !== OptionCode.EXTENDED_ERROR || infoCode === undefined) return [];
  return [{ code: infoCode, text: extraText ?? '' }];
}

function rrOf(resource: Resource): Rr {
  return {
    owner: nameOf(resource.name),
    type: resource.type,
    class: resource.class,
    ttlSeconds: resource.ttl ?? 0,
    rdata: rdataOf(resource as unknown as Dns2Rdata),
  };
}

/** dns2's rdata, which its types do not describe. */
interface Dns2Rdata {
  readonly type: number;
  readonly [field: string]: unknown;
}

function rdataOf(fields: Dns2Rdata): Rdata {
  switch (fields.type) {
    case Type.A:
    case Type.AAAA:
      return { kind: 'address', address: String(fields.address) };
    case Type.NS:
      return { kind: 'name', target: nameOf(fields.ns) };
    case Type.CNAME:
    case Type.PTR:
      return { kind: 'name', target: nameOf(fields.domain) };
    case Type.MX: {
      const exchange = nameOf(fields.exchange);
      return { kind: 'mx', preference: Number(fields.priority), exchange };
    }
    case Type.SRV:
      return srvOf(fields);
    case Type.SOA:
      return soaOf(fields);
    case Type.TXT:
      return { kind: 'txt', strings: textsOf(fields.data).map(utf8Octets) };
    default:
      return unknownOf(fields.data);
  }
}

function srvOf({ priority, weight, port, target }: Dns2Rdata): Rdata {
  return {
    kind: 'srv',
    priority: Number(priority),
    weight: Number(weight),
    port: Number(port),
    target: nameOf(target),
  };
}

function soaOf(fields: Dns2Rdata): Rdata {
  return {
    kind: 'soa',
    mname: nameOf(fields.primary),
    rname: nameOf(fields.admin),
    serial: Number(fields.serial),
    refreshSeconds: Number(fields.refresh),
    retrySeconds: Number(fields.retry),
    expireSeconds: Number(fields.expiration),
    minimumSeconds: Number(fields.minimum),
  };
}

function unknownOf(data: unknown): Rdata {
  return { kind: 'unknown', octets: data instanceof Uint8Array ? data : new Uint8Array() };
}

function textsOf(data: unknown): readonly string[] {
  return Array.isArray(data) ? data.map(String) : [String(data)];
}

/** dns2 joins labels with dots, one character per octet. */
function nameOf(text: unknown): Name {
  const labels: Label[] = String(text ?? '').split('.');
  return labels.filter((label) => label !== '');
}
