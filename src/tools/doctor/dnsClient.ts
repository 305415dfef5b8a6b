/**
 * A DNS client on dns2; the only importer of dns2. It works around dns2's faults: dns2 queries public resolvers by
 * default, its TCP client has no deadline, uses id 0 and takes no IPv6 address, it does not compare the question, and
 * it takes types by name only.
 */
import { createSocket } from 'node:dgram';
import { Packet, type Resource, TCPClient, UDPClient } from 'dns2';
import { familyOfAddress } from '../../dns/address.ts';
import { encodeQuery } from '../../dns/encode.ts';
import { equalNames, type Label, type Name, utf8Octets } from '../../dns/name.ts';
import { typeName } from '../../dns/presentation/mnemonic.ts';
import { Class, type Rdata, type Rr, Type } from '../../dns/rr.ts';
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
}

export type DnsQueryResult =
  | { readonly kind: 'reply'; readonly reply: DnsReply }
  | { readonly kind: 'noReply'; readonly reason: string }
  /** dns2 cannot send this. */
  | { readonly kind: 'unsupported'; readonly reason: string };

/** dns2 keeps the octets of a type that it cannot decode. Its decoders for these types lose octets that are not UTF-8. */
for (const type of ['CAA', 'SPF']) {
  delete (Packet.Resource as unknown as Record<string, unknown>)[type];
}

/** Queries once, over one transport. Never rejects. */
export async function queryDns(question: DnsQuery): Promise<DnsQueryResult> {
  const reason = unsupported(question);
  if (reason !== undefined) return { kind: 'unsupported', reason };
  const { name, type, timeoutMs } = question;
  const known = Packet.TYPE as unknown as Record<string, number>;
  known[typeName(type)] ??= type;
  try {
    const resolve = resolverOf(question);
    const reply = resolve(name.join('.'), typeName(type), question.class);
    // The deadline also ends a wait that dns2 would never end; dns2's socket is closed when the process exits.
    const packet = await withDeadline(unlessRefused(question, reply), timeoutMs, () => {
      throw new Error(`no reply in ${timeoutMs} ms`);
    });
    return isAnswerTo(packet, question)
      ? { kind: 'reply', reply: replyOf(packet) }
      : { kind: 'noReply', reason: 'the reply answers another question' };
  } catch (error) {
    return { kind: 'noReply', reason: error instanceof Error ? error.message : String(error) };
  }
}

function unsupported({ name, address, transport }: DnsQuery): string | undefined {
  if (transport === 'tcp' && familyOfAddress(address) === 6) return 'TCP to an IPv6 address';
  return name.some((label) => label.includes('.')) ? 'a label with a dot in it' : undefined;
}

function resolverOf({ address, port, transport, timeoutMs }: DnsQuery) {
  const socketType = familyOfAddress(address) === 6 ? 'udp6' : 'udp4';
  // The caller repeats a truncated answer over TCP, under a deadline.
  return transport === 'tcp'
    ? TCPClient({ dns: address, port })
    : UDPClient({ dns: address, port, socketType, timeout: timeoutMs, retryOverTCP: false });
}

const SILENCE_MS = 200;

/**
 * Rejects if the port is closed. dns2's UDP socket is not connected, so the kernel does not report that to it. If no
 * reply comes within `SILENCE_MS`, this function repeats the query, as resolvers do, on a connected socket.
 */
function unlessRefused<T>(question: DnsQuery, reply: Promise<T>): Promise<T> {
  if (question.transport === 'tcp') return reply;
  const { name: qname, type: qtype, class: qclass = Class.IN, address, port } = question;
  const query = encodeQuery({
    id: 0,
    question: { qname, qtype, qclass },
    recursionDesired: true,
    checkingDisabled: false,
    edns: undefined,
  });
  return new Promise((resolve, reject) => {
    const socket = createSocket(familyOfAddress(address) === 6 ? 'udp6' : 'udp4');
    socket.on('error', reject);
    socket.on('connect', () => socket.send(query));
    const timer = setTimeout(() => socket.connect(port, address), SILENCE_MS);
    reply.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      socket.close();
    });
  });
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
  };
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
