/**
 * The names of loopback addresses, `localhost` and their reverse names. RFC 6761 §6.3 (4) has a server answer the former
 * without a query, and RFC 6303 §4 the latter. They mean the client's own host, which no other server knows.
 */
import { reverseName } from '../dns/address.ts';
import type { Question } from '../dns/message.ts';
import { equalNames, isSubdomainOf, type Name } from '../dns/name.ts';
import { Class, Rcode, type Rdata, Type } from '../dns/rr.ts';
import type { Forwarded } from './outcome.ts';
import { emptyZoneSoa, localReply } from './privateNames.ts';

const LOCALHOST: Name = ['localhost'];

const IPV4_ZONE: Name = ['127', 'in-addr', 'arpa'];
const IPV6_ZONE: Name = reverseName('::1');

const ADDRESSES = new Map<number, Rdata>([
  [Type.A, { kind: 'address', address: '127.0.0.1' }],
  [Type.AAAA, { kind: 'address', address: '::1' }],
]);
const POINTER = new Map<number, Rdata>([[Type.PTR, { kind: 'name', target: LOCALHOST }]]);
const NOTHING = new Map<number, Rdata>();

/** The two addresses that have a name. */
const POINTERS: readonly Name[] = [reverseName('127.0.0.1'), IPV6_ZONE];

/** The answer about such a name; `undefined` for all other questions. */
export function loopbackOutcome(question: Question): Forwarded | undefined {
  const { qname, qtype, qclass } = question;
  const zone = [LOCALHOST, IPV4_ZONE, IPV6_ZONE].find((each) => isSubdomainOf(qname, each));
  const isTransfer = qtype === Type.AXFR || qtype === Type.IXFR;
  if (zone === undefined || qclass !== Class.IN || isTransfer) return undefined;
  const records = recordsAt(qname, zone);
  const rcode = records === undefined ? Rcode.NXDOMAIN : Rcode.NOERROR;
  const soa = emptyZoneSoa(zone);
  const { ttlSeconds } = soa;
  const answer = [...(records ?? NOTHING)].flatMap(([type, rdata]) =>
    type === qtype || qtype === Type.ANY
      ? [{ owner: qname, type, class: Class.IN, ttlSeconds, rdata }]
      : [],
  );
  const message = localReply(question, rcode, answer, answer.length === 0 ? [soa] : []);
  return { kind: 'answered', message };
}

/** The records by type; `undefined` if the name does not exist. */
function recordsAt(qname: Name, zone: Name): ReadonlyMap<number, Rdata> | undefined {
  if (zone === LOCALHOST) return ADDRESSES;
  if (POINTERS.some((name) => equalNames(name, qname))) return POINTER;
  return POINTERS.some((name) => isSubdomainOf(name, qname)) ? NOTHING : undefined;
}
