/** The negative replies of each zone, as `zone/answer` decides them for an empty zone. */
import { UDP_SIZE } from '../../dns/edns.ts';
import { authoritative } from '../../dns/message.ts';
import { isSubdomainOf, type Name, nameOctets, printName, wireName } from '../../dns/name.ts';
import { Class, Rcode, type Rr } from '../../dns/rr.ts';
import { RR_FIELDS_OCTETS } from '../../dns/wire.ts';
import { answer, serialOf } from '../../zone/answer.ts';
import { Node } from '../../zone/tree/tree.ts';
import {
  apexOf,
  consulOf,
  type NameFacts,
  NO_EXTERNALS,
  NO_FACTS,
  type View,
  type ZoneSettings,
} from '../../zone/tree/view.ts';
import type { LeaderDenial, Negative } from '../reply/negatives.ts';
import { encodeBehindQuestion, endOfName } from './variants.ts';

/** A type that no zone has (RFC 6895 §3.1: private use). */
const ABSENT_TYPE = 65_280;

/** The SOA serials of all zones, which the bodies of `negativesOf` have. */
export function serialsOf(
  { apexes }: ZoneSettings,
  at: Pick<View, 'facts' | 'unixSeconds'>,
): string {
  return apexes.map((apex) => serialOf(at, apex)).join();
}

/** One body for each suffix against which the SOA's names can be compressed. */
export function negativesOf(
  settings: ZoneSettings,
  unixSeconds: number,
  { zoneSerial }: Pick<NameFacts, 'zoneSerial'>,
  isSigned: (apex: Name) => boolean,
): Negative[] {
  const view = emptyZone(settings, unixSeconds, zoneSerial);
  const suffixes = new Map<string, Name>();
  for (const apex of view.settings.apexes) {
    suffixes.set(printName(apex), apex);
    for (const { rdata } of soaFor(view, apex)) {
      if (rdata.kind !== 'soa') continue;
      for (const name of [rdata.mname, rdata.rname]) {
        for (const suffix of below(name, apex)) suffixes.set(printName(suffix), suffix);
      }
    }
  }
  const ours = [...suffixes.values()].filter((suffix) => apexOf(settings, suffix) !== undefined);
  return ours.map((suffix) => ({
    ...negativeFor(view, suffix),
    isSigned: isSigned(apexOf(settings, suffix) ?? suffix),
  }));
}

function emptyZone(
  settings: ZoneSettings,
  unixSeconds: number,
  zoneSerial: NameFacts['zoneSerial'],
): View {
  return {
    root: new Node('', undefined),
    settings,
    nowMs: 0,
    unixSeconds,
    sampleStart: 0,
    externals: NO_EXTERNALS,
    facts: zoneSerial === undefined ? NO_FACTS : { ...NO_FACTS, zoneSerial },
    localAddress: undefined,
    recursionDesired: true,
    roomOctets: undefined,
    onFault(error) {
      throw error;
    },
  };
}

function soaFor(view: View, qname: Name): readonly Rr[] {
  const question = { qname, qtype: ABSENT_TYPE, qclass: Class.IN };
  const decided = answer(view, question);
  if (decided.kind !== 'response') throw new Error('a name below an apex is not in our zones');
  return decided.response.authority;
}

/** The name, and its suffixes that are below the apex. */
function below(name: Name, apex: Name): Name[] {
  const suffixes: Name[] = [];
  for (let i = 0; i < name.length - apex.length; i++) suffixes.push(name.slice(i));
  return suffixes.filter((suffix) => isSubdomainOf(suffix, apex));
}

function negativeFor(view: View, suffix: Name): Negative {
  const question = { qname: suffix, qtype: ABSENT_TYPE, qclass: Class.IN };
  const authority = soaFor(view, suffix);
  const denial = authoritative(Rcode.NOERROR, [], authority);
  const { octets } = encodeBehindQuestion(question, denial, UDP_SIZE);
  const leaders = leaderDenial(view.settings, suffix, octets);
  return { suffix: wireName(suffix), octets, pointers: soaPointers(octets), leaders };
}

function leaderDenial(
  settings: ZoneSettings,
  suffix: Name,
  soa: Uint8Array,
): LeaderDenial | undefined {
  const apex = apexOf(settings, suffix) ?? suffix;
  if (consulOf(settings, apex) !== undefined) return undefined;
  const ttlAt = endOfName(soa, 0).end + 4;
  return { apexOctets: nameOctets(apex), ttlAt, ttlSeconds: settings.leaderTtlSeconds };
}

/** Offsets of the compression pointers that end the SOA's three names. */
function soaPointers(octets: Uint8Array): number[] {
  const owner = endOfName(octets, 0);
  const mname = endOfName(octets, owner.end + RR_FIELDS_OCTETS);
  const rname = endOfName(octets, mname.end);
  return [owner, mname, rname].flatMap(({ pointerAt }) =>
    pointerAt === undefined ? [] : [pointerAt],
  );
}
