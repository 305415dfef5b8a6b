/** The labels that have a meaning in Consul's names. */
import type { Label, Name } from '../dns/name.ts';

/** The words of the names that we have. */
export const CONSUL_WORD = {
  service: 'service',
  node: 'node',
  address: 'addr',
  query: 'query',
  virtual: 'virtual',
  /** Behind the label of a data centre; may be left out. */
  datacenter: 'dc',
} as const;

/** The words of names that only Consul has: of its mesh, and of its enterprise edition. */
export const UNSUPPORTED_WORDS: readonly Label[] = ['connect', 'ingress', 'ns', 'ap', 'peer', 'sg'];

/** In `_SVC._X` in place of a tag: all instances, and those that expose a UDP port. */
export const PROTOCOL_LABELS: readonly Label[] = ['_tcp', '_udp'];

/** A data centre, and the name below which its services are; both folded. */
export interface NamedDatacenter {
  readonly label: Label;
  readonly base: Name;
}

/** Whether a folded label may name a data centre: it has another meaning if it is one of the words. */
export function isDatacenterLabel(label: Label): boolean {
  const isWord =
    Object.values<Label>(CONSUL_WORD).includes(label) || UNSUPPORTED_WORDS.includes(label);
  return !isWord && /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/.test(label) && label !== 'any';
}
