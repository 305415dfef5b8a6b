/** Asks upstreams for the names that routes lead to outside the store. */
import type { Question } from '../../dns/message.ts';
import { createForwarder, type Forwarder } from '../../forward/forwarder.ts';
import type { Upstream } from '../../forward/upstream.ts';
import { externalOf } from '../../server/forwarded.ts';
import type { External } from '../../zone/view.ts';

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
