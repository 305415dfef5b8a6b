/**
 * The names that our zones delegate (RFC 1034 §4.2.1): the referral to their name servers, and what our zone has at and
 * below the cut. That is the NS and DS of the cut itself, and glue: addresses of name servers, from services that the
 * cut hides otherwise.
 */
import { authoritative, type Response } from '../dns/message.ts';
import { foldName, type Name } from '../dns/name.ts';
import { Rcode, type Rr, Type } from '../dns/rr.ts';
import { rrset, type TimedRdata } from './rrset.ts';
import type { ZoneCut } from './tree/forwardedNames.ts';
import { type LookupState, newLookupState } from './tree/lookupState.ts';
import { servicesAt } from './tree/services.ts';
import { findNode, type Node, type Registration } from './tree/tree.ts';
import { serviceTtl } from './tree/ttl.ts';
import { apexOf, type View, type ZoneSettings } from './tree/view.ts';

/** The most addresses of one name server and family. */
const MAX_ADDRESSES = 16;

/**
 * The reply to a question about a delegated name for a client that asks the name servers itself. Only a client with DO
 * gets the DS (RFC 4035 §3.1.4).
 */
export function referral(view: View, { name, servers }: ZoneCut, dnssecOk: boolean): Response {
  const glue = servers.flatMap((server) => glueAt(view, server));
  const state = newLookupState(view);
  const ds = dnssecOk ? dsAt(state, name) : [];
  return {
    ...authoritative(Rcode.NOERROR, [], [...cutRecords(state, name, Type.NS), ...ds]),
    authoritative: false,
    additional: glue,
    // Names that differ only below the cut have one reply.
    limitedAs: name,
    // RFC 9471 §3.1: a client that lacks such an address cannot go on.
    needsAdditional: true,
  };
}

/** The DS of a name at which another zone begins below ours (RFC 4035 §3.1.4.1). */
export function dsAt(state: LookupState, owner: Name): Rr[] {
  const isCut = state.view.settings.forwarded.cutAt(owner) !== undefined;
  return isCut ? cutRecords(state, owner, Type.DS) : [];
}

/** Whether our zone may have records at a name that a cut hides: those of the cut itself, and glue. */
export function isAtCut({ forwarded }: ZoneSettings, name: Name): boolean {
  if (forwarded.cutOf(name) === undefined) return false;
  return forwarded.cutAt(name) !== undefined || forwarded.isNameServer(name);
}

/** The records that our zone has at such a name. */
export function recordsAtCut(view: View, name: Name): Rr[] {
  const { forwarded } = view.settings;
  const state = newLookupState(view);
  const isCut = forwarded.cutAt(name) !== undefined;
  const own = isCut ? [...cutRecords(state, name, Type.NS), ...dsAt(state, name)] : [];
  return forwarded.isNameServer(name) ? [...own, ...glueAt(view, name)] : own;
}

/** A name server of a delegated name, as far as our zones know it. */
export interface NameServer {
  readonly name: Name;
  readonly addresses: readonly string[];
  /** Our zones decide its addresses: no other server knows more. */
  readonly isOurs: boolean;
}

export function serversOfCut(view: View, { servers }: ZoneCut): readonly NameServer[] {
  return servers.map((name) => {
    const apex = apexOf(view.settings, name);
    const isOurs = apex !== undefined;
    return {
      name,
      addresses: isOurs ? ownAddresses(view, name, apex) : glueOf(view, name),
      isOurs,
    };
  });
}

/** The addresses of a name in one of our zones. A name server must not be an alias (RFC 2181 §10.3). */
function ownAddresses(view: View, name: Name, apex: Name): readonly string[] {
  const at = servicesAt(newLookupState(view), name, apex, Type.ANY);
  if (at === undefined) return [];
  if (at.given !== undefined) return at.given.map(({ address }) => address);
  const registrations = at.services.map(({ registration }) => registration);
  return registrations.filter(({ family }) => family !== 0).map(({ address }) => address);
}

function glueOf(view: View, name: Name): readonly string[] {
  return glueAt(view, name).flatMap(({ rdata }) =>
    rdata.kind === 'address' ? [rdata.address] : [],
  );
}

/** The addresses of a name server that a cut hides: of the cut that it serves, or of another one (RFC 9471 §2.2). */
function glueAt(view: View, server: Name): readonly Rr[] {
  const { forwarded } = view.settings;
  const node = findNode(view.root, server);
  if (node === undefined || forwarded.cutOf(server) === undefined) return [];
  const state = newLookupState(view);
  const registrations = addressed(node);
  if (node.first === undefined && forwarded.cutAt(server) === undefined)
    for (const child of view.listing?.inOrder(node) ?? node.children ?? []) {
      if (state.nodesLeft-- <= 0 || registrations.length >= 2 * MAX_ADDRESSES) break;
      if (!forwarded.hides(child)) registrations.push(...addressed(child));
    }
  return [4, 6].flatMap((family) => {
    const members = registrations.filter((each) => each.family === family);
    const type = family === 4 ? Type.A : Type.AAAA;
    return rrset(
      server,
      type,
      members.slice(0, MAX_ADDRESSES).map((each) => addressOf(state, each)),
    );
  });
}

function addressed(node: Node): Registration[] {
  const found: Registration[] = [];
  for (let at = node.first; at !== undefined; at = at.next) if (at.family !== 0) found.push(at);
  return found;
}

function addressOf(state: LookupState, registration: Registration): TimedRdata {
  const { address } = registration;
  return { rdata: { kind: 'address', address }, ttl: serviceTtl(state, registration) };
}

/** The records of a type that the services at exactly a delegated name have. */
function cutRecords(state: LookupState, owner: Name, type: number): Rr[] {
  const members: TimedRdata[] = [];
  const name = foldName(owner);
  state.namesRead.push(name);
  const node = findNode(state.view.root, name);
  for (let at = node?.first; at !== undefined; at = at.next) {
    const ttl = serviceTtl(state, at);
    for (const record of at.attributes.records)
      if (record.type === type) members.push({ rdata: record.rdata, ttl });
  }
  return rrset(owner, type, members);
}
