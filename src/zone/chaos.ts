/** Class CH: who answers here (RFC 4892). The version stays untold; everything else is SERVFAIL, as in SkyDNS. */
import type { Question, Response } from '../dns/message.ts';
import { foldName, printName } from '../dns/name.ts';
import { authoritative } from '../dns/response.ts';
import { Class, Rcode, type Rr, Type } from '../dns/rr.ts';

const TEXTS: ReadonlyMap<string, string> = new Map([
  ['version.bind.', 'soradns'],
  ['version.server.', 'soradns'],
  ['hostname.bind.', 'localhost'],
  ['id.server.', 'localhost'],
]);

export function chaos({ qname, qtype }: Question): Response {
  const text = qtype === Type.TXT ? TEXTS.get(printName(foldName(qname))) : undefined;
  if (text === undefined) return authoritative(Rcode.SERVFAIL, []);
  const rdata = { kind: 'txt', strings: [text] } as const;
  const rr: Rr = { owner: qname, type: Type.TXT, class: Class.CH, ttlSeconds: 0, rdata };
  return authoritative(Rcode.NOERROR, [rr]);
}
