/**
 * Telling the reply to our question from everything else that arrives at our socket (F1, F2). The socket is connected,
 * so the kernel has checked the server's address and both ports; what is checked here is what a forger must guess or a
 * broken server gets wrong: QR, opcode, id and the question.
 */
import { decodeMessage } from '../dns/decode.ts';
import { HEADER_OCTETS, type Message, type Question } from '../dns/message.ts';
import { equalNames, foldName, type Label, type Name } from '../dns/name.ts';
import { Rcode, type Rdata, type Rr } from '../dns/rr.ts';

/** What one packet to one upstream came to. */
export type ExchangeResult =
  | { readonly kind: 'reply'; readonly message: Message }
  /** The reply did not fit: TCP will tell. */
  | { readonly kind: 'truncated' }
  /** The right reply but for the case of its question: a forgery, or a server that does not keep case. TCP will tell. */
  | { readonly kind: 'caseChanged' }
  | { readonly kind: 'timeout' }
  /** The text is for people. */
  | { readonly kind: 'network'; readonly text: string };

/** What was asked, as it went out. Nobody off-path can write into a TCP connection, so case proves nothing there. */
export interface SentQuery {
  readonly id: number;
  /** In the random case of this question. */
  readonly question: Question;
  readonly transport: 'udp' | 'tcp';
}

/**
 * What the packet is to us; `undefined` when it is noise, which must not end the wait for the real reply. Never throws.
 */
export function readReply(packet: Uint8Array, sent: SentQuery): ExchangeResult | undefined {
  // Before decoding: noise should cost next to nothing.
  if (packet.length < HEADER_OCTETS || idOf(packet) !== sent.id) return undefined;
  const message = decodeMessage(packet);
  if (message === undefined || !message.isResponse || message.opcode !== 0) return undefined;
  const match = matchQuestion(message, sent.question);
  if (match === 'other') return undefined;
  if (sent.transport === 'tcp') return { kind: 'reply', message };
  if (message.truncated) return { kind: 'truncated' };
  return match === 'caseChanged' ? { kind: 'caseChanged' } : { kind: 'reply', message };
}

function idOf(packet: Uint8Array): number {
  const [high = 0, low = 0] = packet;
  return (high << 8) | low;
}

function matchQuestion(message: Message, sent: Question): 'same' | 'caseChanged' | 'other' {
  const [question] = message.questions;
  if (question === undefined) return isBareError(message) ? 'same' : 'other';
  const isSame =
    message.questions.length === 1 &&
    question.qtype === sent.qtype &&
    question.qclass === sent.qclass &&
    equalNames(question.qname, sent.qname);
  if (!isSame) return 'other';
  return identicalNames(question.qname, sent.qname) ? 'same' : 'caseChanged';
}

/** Servers that cannot read a query (EDNS among the reasons) answer with a header alone. */
function isBareError(message: Message): boolean {
  const { rcode, answer, authority } = message;
  const isError = rcode !== Rcode.NOERROR && rcode !== Rcode.NXDOMAIN;
  return isError && answer.length === 0 && authority.length === 0;
}

/**
 * Random case in the names we ask for (0x20, draft-vixie-dnsext-dns0x20): a reply must repeat it octet by octet, which
 * adds a bit for every letter to what an off-path forger must guess. The pattern must not leak into answers: servers
 * compress the names of their records against the question, so the records come back in our pattern.
 */

/** A uniform integer in 0..below-1 from a cryptographic source (`crypto.randomInt`). */
export type RandomInt = (below: number) => number;

/** The name with each ASCII letter in a random case; never all lower case when it holds a letter. */
export function randomizeCase(name: Name, randomInt: RandomInt): Name {
  const random = name.map((label) => randomizeLabel(label, randomInt));
  return random.some((label) => /[A-Z]/.test(label)) ? random : raiseFirstLetter(random);
}

function randomizeLabel(label: Label, randomInt: RandomInt): Label {
  return label.replace(/[A-Za-z]/g, (letter) =>
    randomInt(2) === 0 ? letter.toLowerCase() : letter.toUpperCase(),
  );
}

function raiseFirstLetter(name: Name): Name {
  const at = name.findIndex((label) => /[a-z]/.test(label));
  return name.map((label, i) =>
    i === at ? label.replace(/[a-z]/, (c) => c.toUpperCase()) : label,
  );
}

/** How many letters, and so how many bits, the name offers. */
export function letterCount(name: Name): number {
  return name.reduce((count, label) => count + (label.match(/[A-Za-z]/g)?.length ?? 0), 0);
}

/** Octet for octet the same, case included. */
export function identicalNames(a: Name, b: Name): boolean {
  return a.length === b.length && a.every((label, i) => label === b[i]);
}

/** The record with our pattern taken out of its names: the labels at their ends that equal `sent`'s, in lower case. */
export function withoutRandomCase(rr: Rr, sent: Name): Rr {
  const folded = foldName(sent);
  const clean = (name: Name) => replaceSuffix(name, sent, folded);
  return { ...rr, owner: clean(rr.owner), rdata: mapNames(rr.rdata, clean) };
}

function replaceSuffix(name: Name, sent: Name, folded: Name): Name {
  let shared = 0;
  const most = Math.min(name.length, sent.length);
  while (shared < most && name.at(-1 - shared) === sent.at(-1 - shared)) shared++;
  if (shared === 0) return name;
  return [...name.slice(0, name.length - shared), ...folded.slice(folded.length - shared)];
}

function mapNames(rdata: Rdata, map: (name: Name) => Name): Rdata {
  switch (rdata.kind) {
    case 'name':
    case 'srv':
      return { ...rdata, target: map(rdata.target) };
    case 'mx':
      return { ...rdata, exchange: map(rdata.exchange) };
    case 'soa':
      return { ...rdata, mname: map(rdata.mname), rname: map(rdata.rname) };
    case 'address':
    case 'txt':
    case 'hinfo':
    case 'unknown':
      return rdata;
  }
}
