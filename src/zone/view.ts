/**
 * What an answer is worked out from: the tree, the settings, the moment, and what is known of names elsewhere. A view
 * is read only and belongs to one question; `Work` is what answering that question uses up and finds wanting.
 */
import type { Question } from '../dns/message.ts';
import { foldName, isSubdomainOf, type Name, printName } from '../dns/name.ts';
import { Class, type Rr } from '../dns/rr.ts';
import type { Lease } from '../service/change.ts';
import type { Attributes } from '../service/service.ts';
import { type Budget, newBudget, type ParentValue } from './select.ts';
import type { Node, Registration } from './tree.ts';

export interface ZoneSettings {
  /** Folded apexes; names below none of them are somebody else's. */
  readonly apexes: readonly Name[];
  /** TTL of records that set none, and of the SOA as an answer. */
  readonly ttlSeconds: number;
  /** SOA minimum: for how long a negative answer may be believed (RFC 2308 §4). */
  readonly minTtlSeconds: number;
  /** The least TTL of a record whose lease is about to end. */
  readonly minLeaseTtlSeconds: number;
  /** Of services that set none. */
  readonly priority: number;
  /** RNAME of the SOA; by default `hostmaster.<apex>`. */
  readonly hostmaster: Name | undefined;
  /** The name that `local.dns.<apex>` stands for. */
  readonly local: Name | undefined;
  readonly roundRobin: boolean;
  /** QTYPE ANY: the HINFO of RFC 8482 §4.2, or REFUSED as SkyDNS does. */
  readonly any: 'hinfo' | 'refuse';
  readonly parentValue: ParentValue;
}

/** What became of a question for a name outside our zones. */
export type External =
  | { readonly kind: 'records'; readonly rcode: number; readonly records: readonly Rr[] }
  | { readonly kind: 'failed' }
  /** There is nobody to ask. */
  | { readonly kind: 'unavailable' };

export interface View {
  readonly root: Node;
  readonly settings: ZoneSettings;
  /** Monotonic, for leases. */
  readonly nowMs: number;
  /** Seconds since 1970, for the SOA serial. */
  readonly unixSeconds: number;
  /** A number from 0 up, another one for each question; see `select`. */
  readonly turn: number;
  /** In [0, 1); shuffles. */
  readonly random: () => number;
  /** By `externalKey`; what is not there yet is asked for in `Work.missing`. */
  readonly externals: ReadonlyMap<string, External>;
}

export interface Work {
  readonly view: View;
  readonly budget: Budget;
  /** Questions for other servers without whose answers this one is incomplete. */
  readonly missing: Question[];
  externalsLeft: number;
}

/** No question of ours makes more questions than this, in all its rounds together. */
const MAX_EXTERNALS = 8;

export function newWork(view: View): Work {
  const externalsLeft = MAX_EXTERNALS - view.externals.size;
  return { view, budget: newBudget(), missing: [], externalsLeft };
}

/** The apex of the zone that a name is in: the longest that fits. */
export function apexOf(settings: ZoneSettings, name: Name): Name | undefined {
  let longest: Name | undefined;
  for (const apex of settings.apexes) {
    if (isSubdomainOf(name, apex) && (longest === undefined || apex.length > longest.length)) {
      longest = apex;
    }
  }
  return longest;
}

export function externalKey(name: Name, qtype: number): string {
  return `${printName(foldName(name))} ${qtype}`;
}

/** What is known of a name elsewhere; `undefined` when it has to be asked for first, which this notes down. */
export function external(work: Work, name: Name, qtype: number): External | undefined {
  const known = work.view.externals.get(externalKey(name, qtype));
  if (known !== undefined) return known;
  if (work.externalsLeft <= 0) return { kind: 'failed' };
  work.externalsLeft--;
  work.missing.push({ qname: name, qtype, qclass: Class.IN });
  return undefined;
}

/** min(record TTL, what is left of the lease) of those that are set, else the default. */
export function ttlOf(view: View, registration: Registration): number {
  const { settings } = view;
  const own = registration.attributes.ttlSeconds || settings.ttlSeconds;
  const { lease } = registration;
  if (lease === undefined || lease.expiresAtMs === Number.POSITIVE_INFINITY) return own;
  const left = Math.max(leftSeconds(lease, view.nowMs), settings.minLeaseTtlSeconds);
  return registration.attributes.ttlSeconds === 0 ? left : Math.min(own, left);
}

/** Rounded up: a lease of 360 s is worth 360 s right after the write. */
function leftSeconds(lease: Lease, nowMs: number): number {
  return Math.ceil((lease.expiresAtMs - nowMs) / 1000);
}

/** The labels that `targetstrip` leaves; as many as there are, or more, strip nothing (SkyDNS). */
export function stripTarget(target: Name, { targetStrip }: Attributes): Name {
  return targetStrip > 0 && targetStrip < target.length ? target.slice(targetStrip) : target;
}
