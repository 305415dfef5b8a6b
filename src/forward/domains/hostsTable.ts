/** What hosts files (hosts(5)) say about names and addresses outside our zones. */
import { canonicalAddress, isLoopbackAddress, reverseName } from '../../dns/address.ts';
import type { Message, Question } from '../../dns/message.ts';
import { foldName, isSubdomainOf, type Name, nameKey, parseName } from '../../dns/name.ts';
import { Class, Rcode, type Rdata, type Rr, Type } from '../../dns/rr.ts';
import type { Forwarded } from '../outcome.ts';
import { emptyZoneSoa, localReply } from '../privateNames.ts';

/** A client asks again so soon after a change of a file. */
const HOSTS_TTL_SECONDS = 60;

type HostsRecords = ReadonlyMap<number, readonly Rdata[]>;

export class HostsTable {
  readonly #records = new Map<string, Map<number, Rdata[]>>();

  /**
   * The records of these texts, in their order. Loopback addresses are left out, because a container's loopback is not
   * the host's, and names in `ownDomains`, which are the store's.
   */
  constructor(texts: readonly string[] = [], ownDomains: readonly Name[] = []) {
    for (const text of texts) for (const line of text.split('\n')) this.#add(line, ownDomains);
  }

  /** Names, with the reverse names of the addresses. */
  get size(): number {
    return this.#records.size;
  }

  has(qname: Name): boolean {
    return this.#records.size > 0 && this.#records.has(nameKey(qname));
  }

  /**
   * The answer if the files have the name. They decide all of its types: another server's HTTPS record, for example,
   * would lead clients to other addresses.
   */
  answer(question: Question): Forwarded | undefined {
    if (this.#records.size === 0 || question.qclass !== Class.IN) return undefined;
    const records = this.#records.get(nameKey(question.qname));
    return records && { kind: 'answered', message: messageOf(question, records) };
  }

  #add(line: string, ownDomains: readonly Name[]): void {
    const [first = '', ...words] = line.replace(/#.*/, '').trim().split(/\s+/);
    const canonical = canonicalAddress(first);
    if (canonical === undefined || isLoopbackAddress(first)) return;
    const { family, address } = canonical;
    const names = words.flatMap((word) => {
      const name = parseName(word);
      if (name === undefined || name.length === 0) return [];
      return ownDomains.some((domain) => isSubdomainOf(name, domain)) ? [] : [name];
    });
    const type = family === 4 ? Type.A : Type.AAAA;
    for (const name of names) this.#put(name, type, { kind: 'address', address });
    const [target] = names;
    if (target !== undefined) this.#put(reverseName(address), Type.PTR, { kind: 'name', target });
  }

  #put(name: Name, type: number, rdata: Rdata): void {
    const key = nameKey(name);
    const types = this.#records.get(key) ?? new Map<number, Rdata[]>();
    const known = types.get(type) ?? [];
    this.#records.set(key, types.set(type, known));
    if (!known.some((other) => isSameHost(other, rdata))) known.push(rdata);
  }
}

function isSameHost(a: Rdata, b: Rdata): boolean {
  if (a.kind === 'address') return b.kind === 'address' && a.address === b.address;
  return a.kind === 'name' && b.kind === 'name' && nameKey(a.target) === nameKey(b.target);
}

function messageOf(question: Question, records: HostsRecords): Message {
  const { qname, qtype } = question;
  const wanted = qtype === Type.ANY ? [...records] : [[qtype, records.get(qtype) ?? []] as const];
  const answer = wanted.flatMap(([type, rdatas]) =>
    rdatas.map((rdata): Rr => {
      return { owner: qname, type, class: Class.IN, ttlSeconds: HOSTS_TTL_SECONDS, rdata };
    }),
  );
  const authority = answer.length > 0 ? [] : [emptyZoneSoa(foldName(qname), HOSTS_TTL_SECONDS)];
  return localReply(question, Rcode.NOERROR, answer, authority);
}
