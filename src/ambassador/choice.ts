/**
 * The order in which a proxy tries the backends of a route: the lowest priority number first, and within a priority by
 * weight, at random or by the client's address. Pure.
 *
 * Each backend gets a score, the logarithm of a number in (0, 1] divided by its weight; the greatest score is first. If
 * the numbers are random, this draws by weight without replacement (Efraimidis and Spirakis, 2006). If they are hashes
 * of the client's address with the backend's, this is weighted rendezvous hashing: a backend that comes or goes moves
 * only the clients that it takes over or leaves behind.
 */
import { printSocketAddress } from '../dns/address.ts';
import type { Backend } from './route.ts';

export type Balance = 'random' | 'source';

/** The most backends that a proxy tries for one connection. */
export const MAX_TRIES = 5;

export interface Choice {
  readonly balance: Balance;
  /** The client's address; empty for a client without one, for which the order is random in any case. */
  readonly source: string;
  /** At least 0, less than 1. */
  readonly random: () => number;
}

/** The backends to try, each once, at most `MAX_TRIES`. */
export function backendsToTry(backends: readonly Backend[], choice: Choice): readonly Backend[] {
  if (backends.length <= 1) return backends;
  const first: Scored[] = [];
  for (const backend of backends) insert(first, { backend, score: scoreOf(backend, choice) });
  return first.map(({ backend }) => backend);
}

interface Scored {
  readonly backend: Backend;
  readonly score: number;
}

/** Keeps the list in order and short: a set may have many more backends than are tried. */
function insert(first: Scored[], scored: Scored): void {
  const later = first.findIndex((other) => precedes(scored, other));
  if (later < 0 && first.length === MAX_TRIES) return;
  first.splice(later < 0 ? first.length : later, 0, scored);
  if (first.length > MAX_TRIES) first.pop();
}

function precedes(a: Scored, b: Scored): boolean {
  if (a.backend.priority !== b.backend.priority) return a.backend.priority < b.backend.priority;
  return a.score > b.score;
}

function scoreOf(backend: Backend, { balance, source, random }: Choice): number {
  const isBySource = balance === 'source' && source !== '';
  const unit = isBySource ? hashedUnit(source, printSocketAddress(backend)) : 1 - random();
  return Math.log(unit) / backend.weight;
}

/** A number in (0, 1] that only the two texts decide. */
function hashedUnit(source: string, backend: string): number {
  return (mixed(hashOf(backend, hashOf(source, FNV_BASIS))) + 1) / 2 ** 32;
}

const FNV_BASIS = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** FNV-1a, and one step more that separates the two texts. */
function hashOf(text: string, basis: number): number {
  let hash = basis;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), FNV_PRIME);
  return Math.imul(hash ^ 0xff, FNV_PRIME);
}

/** The last steps of MurmurHash3: each bit of the result depends on every bit of the hash. */
function mixed(hash: number): number {
  let bits = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
