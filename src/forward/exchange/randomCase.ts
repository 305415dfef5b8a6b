/**
 * Random case in the names of our queries (0x20, draft-vixie-dnsext-dns0x20): a reply must repeat it octet for octet,
 * so each letter adds a bit to what an off-path forger must guess. Servers compress the names of their records against
 * the question, so records come back in our random case, which must not reach the answers to clients.
 */
import type { Message, Question } from '../../dns/message.ts';
import { equalNames, foldName, type Label, type Name } from '../../dns/name.ts';
import type { Rdata, Rr } from '../../dns/rr.ts';

/** A uniform integer in 0..below-1 from a cryptographic source (`crypto.randomInt`). */
export type RandomInt = (below: number) => number;

/** The name with each ASCII letter in a random case; never all lower case if it has a letter. */
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

/** How many letters the name has, and so how many bits of randomness. */
export function letterCount(name: Name): number {
  return name.reduce((count, label) => count + (label.match(/[A-Za-z]/g)?.length ?? 0), 0);
}

/** Whether the names are equal octet for octet, case included. */
export function identicalNames(a: Name, b: Name): boolean {
  return a.length === b.length && a.every((label, i) => label === b[i]);
}

/**
 * The record without our random case: in each of its names, the last labels that are identical to those of `sent`
 * become lower case.
 */
export function withoutRandomCase(rr: Rr, sent: Name): Rr {
  const folded = foldName(sent);
  const restore = (name: Name) => replaceSuffix(name, sent, folded);
  return { ...rr, owner: restore(rr.owner), rdata: mapNames(rr.rdata, restore) };
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

/** The reply to `sent` as all clients can share it: its names without our random case. */
export function withoutCaseOf(sent: Question, message: Message): Message {
  const plain = (rr: Rr): Rr => withoutRandomCase(rr, sent.qname);
  return {
    ...message,
    questions: [{ ...sent, qname: foldName(sent.qname) }],
    answer: message.answer.map(plain),
    authority: message.authority.map(plain),
  };
}

/** A shared message with the qname in the case of this client's question. */
export function inCaseOf(question: Question, message: Message): Message {
  const { qname } = question;
  const echo = (rr: Rr): Rr => (equalNames(rr.owner, qname) ? { ...rr, owner: qname } : rr);
  return { ...message, questions: [question], answer: message.answer.map(echo) };
}
