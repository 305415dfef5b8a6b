/** Asks upstreams for the names that routes lead to outside the store. */
import { canonicalAddress } from '../../dns/address.ts';
import type { Question } from '../../dns/message.ts';
import { equalNames, parseName } from '../../dns/name.ts';
import { Class, type Rr, Type } from '../../dns/rr.ts';
import { createForwarder, type Forwarder } from '../../forward/forwarder.ts';
import type { Upstream } from '../../forward/upstream.ts';
import { externalOf } from '../../server/forwarded.ts';
import type { External } from '../../zone/tree/view.ts';

/** Names of one label are asked for too: Docker's resolver knows containers by them. */
const NDOTS = 0;

export function createOutsideForwarder(upstreams: readonly Upstream[]): Forwarder | undefined {
  return upstreams.length === 0 ? undefined : createForwarder({ upstreams, ndots: NDOTS });
}

/** The outcome of a question that this process itself asks. Never rejects. */
export async function askForwarder(
  forwarder: Forwarder | undefined,
  question: Question,
): Promise<External> {
  if (forwarder === undefined) return { kind: 'unavailable' };
  const options = { checkingDisabled: false, dnssecOk: false, client: '127.0.0.1' };
  return externalOf(await forwarder.resolve(question, options));
}

/** A file is read again at each question, and `OutsideAnswers` asks again when this has passed. */
const HOSTS_TTL_SECONDS = 5;

/**
 * What a hosts file says (hosts(5)); undefined if it does not have the name. Docker writes the aliases of a container's
 * links there, and DNS does not know them on the default bridge.
 */
export function askHosts(text: string, { qname, qtype }: Question): External | undefined {
  const family = qtype === Type.A ? 4 : qtype === Type.AAAA ? 6 : undefined;
  if (family === undefined) return undefined;
  const addresses = text.split('\n').flatMap((line) => {
    const [first = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    const hasName = names.some((each) => {
      const name = parseName(each);
      return name !== undefined && equalNames(name, qname);
    });
    return hasName ? (canonicalAddress(first) ?? []) : [];
  });
  if (addresses.length === 0) return undefined;
  const common = { owner: qname, type: qtype, class: Class.IN, ttlSeconds: HOSTS_TTL_SECONDS };
  const rrs = addresses
    .filter((each) => each.family === family)
    .map(({ address }): Rr => ({ ...common, rdata: { kind: 'address', address } }));
  return { kind: 'found', rrs };
}
