/** The field `rr` of a service: records of any type, each as a type and its data in the text of zone files. */
import { utf8Octets } from '../dns/name.ts';
import { typeName } from '../dns/presentation/mnemonic.ts';
import { parseTypedRdata, printRdata } from '../dns/presentation/presentation.ts';
import { Class, type Rdata, Type } from '../dns/rr.ts';

/** A record without owner name and TTL, which are those of the service. */
export interface ServiceRecord {
  readonly type: number;
  readonly rdata: Rdata;
}

export const NO_RECORDS: readonly ServiceRecord[] = [];

const MAX_RECORDS = 32;
/** Of all texts of a value. */
const MAX_RECORDS_OCTETS = 4_096;

export type ParsedRecords =
  | { readonly kind: 'records'; readonly records: readonly ServiceRecord[] }
  /** Begins with the position of the record, if one record is wrong: `[1]: `. */
  | { readonly kind: 'invalid'; readonly reason: string };

/** Never throws. */
export function parseRecords(value: unknown): ParsedRecords {
  const isList = Array.isArray(value) && value.every((each) => typeof each === 'string');
  if (!isList) return invalid('must be a list of texts');
  const texts: readonly string[] = value;
  if (texts.length > MAX_RECORDS) return invalid(`has more than ${MAX_RECORDS} records`);
  let octets = 0;
  for (const text of texts) octets += utf8Octets(text).length;
  if (octets > MAX_RECORDS_OCTETS) return invalid(`is above ${MAX_RECORDS_OCTETS} octets`);
  const records: ServiceRecord[] = [];
  for (const [i, text] of texts.entries()) {
    const parsed = parseTypedRdata(text);
    if (parsed.kind === 'invalid') return invalid(`[${i}]: ${parsed.reason}`);
    const { type, rdata } = parsed;
    const refusal = refusalOf(type);
    if (refusal !== undefined) return invalid(`[${i}]: ${typeName(type)}: ${refusal}`);
    records.push({ type, rdata });
  }
  const ds = records.findIndex(({ type }) => type === Type.DS);
  if (ds >= 0 && !records.some(({ type }) => type === Type.NS))
    return invalid(`[${ds}]: DS: belongs beside the NS of a delegation`);
  return { kind: 'records', records };
}

function invalid(reason: string): ParsedRecords {
  return { kind: 'invalid', reason };
}

/** A record in the text of zone files, as the field has it. */
export function printStored({ type, rdata }: ServiceRecord): string {
  return `${typeName(type)} ${printRdata({ type, class: Class.IN, rdata })}`.trimEnd();
}

const NULL = 10;

const SIGNATURE_TYPES: readonly number[] = [
  Type.RRSIG,
  Type.NSEC,
  Type.DNSKEY,
  Type.NSEC3,
  Type.CDS,
  Type.CDNSKEY,
  // No code uses these: SIG, KEY, NXT, NSEC3PARAM, ZONEMD.
  ...[24, 25, 30, 51, 63],
];

/** Types of which records come from elsewhere, and why. */
const REFUSALS: ReadonlyMap<number, string> = new Map([
  ...each([Type.A, Type.AAAA, Type.SRV, Type.PTR], 'write host and port'),
  [Type.SOA, 'the server makes it'],
  // Names below it would need records made for them (RFC 6672 §2.3).
  [Type.DNAME, 'is not served'],
  ...each(SIGNATURE_TYPES, 'belongs to the signatures of a zone'),
  // The types that no zone has (RFC 6895 §3.1): a reserved one, OPT, and those of questions and meta data.
  ...each([0, Type.OPT, ...Array.from({ length: 128 }, (_, i) => 128 + i)], 'is no type of data'),
  // RFC 1035 §3.3.10. A secondary may refuse the whole zone: Knot does so for one without data.
  [NULL, 'may not be in a zone file'],
]);

function each(types: readonly number[], reason: string): [number, string][] {
  return types.map((type) => [type, reason]);
}

function refusalOf(type: number): string | undefined {
  return REFUSALS.get(type);
}
