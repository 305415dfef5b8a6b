/** Class CH: who answers here (RFC 4892). The version stays untold; everything else is SERVFAIL, as in SkyDNS. */
import type { Question, Response } from '../dns/message.ts';
import { foldName, printName } from '../dns/name.ts';
import { Class, Rcode, Type } from '../dns/rr.ts';

const TEXTS: ReadonlyMap<string, string> = new Map([
  ['version.bind.', 'soradns'],
  ['version.server.', 'soradns'],
  ['hostname.bind.', 'localhost'],
  ['id.server.', 'localhost'],
]);

export function chaos(question: Question): Response {
  const text =
    question.qtype === Type.TXT ? TEXTS.get(printName(foldName(question.qname))) : undefined;
  return {
    rcode: text === undefined ? Rcode.SERVFAIL : Rcode.NOERROR,
    authoritative: true,
    recursionAvailable: false,
    answer:
      text === undefined
        ? []
        : [
            {
              owner: question.qname,
              type: Type.TXT,
              class: Class.CH,
              ttlSeconds: 0,
              rdata: { kind: 'txt', strings: [text] },
            },
          ],
    authority: [],
    additional: [],
  };
}
