/**
 * What nf_tables tells about its rule set (linux/netfilter/nf_tables.h): generations, which table a change concerns, the
 * parts of a table, and the elements of its sets. Messages of other kinds and damaged ones decode to nothing. Pure.
 */
import {
  attribute,
  eachAttribute,
  joined,
  type NetlinkMessage,
  netfilterAttributes,
  netfilterFamily,
  netfilterHeader,
  netfilterType,
  numberIn,
  readAttributes,
  terminated,
  textIn,
} from './netlinkMessage.ts';

const SUBSYSTEM = 10;

/** Requests. */
export const NftGet = {
  TABLE: netfilterType(SUBSYSTEM, 1),
  CHAINS: netfilterType(SUBSYSTEM, 4),
  RULES: netfilterType(SUBSYSTEM, 7),
  SETS: netfilterType(SUBSYSTEM, 10),
  ELEMENTS: netfilterType(SUBSYSTEM, 13),
  GENERATION: netfilterType(SUBSYSTEM, 16),
} as const;

const New = {
  TABLE: netfilterType(SUBSYSTEM, 0),
  CHAIN: netfilterType(SUBSYSTEM, 3),
  RULE: netfilterType(SUBSYSTEM, 6),
  SET: netfilterType(SUBSYSTEM, 9),
  ELEMENTS: netfilterType(SUBSYSTEM, 12),
  GENERATION: netfilterType(SUBSYSTEM, 15),
} as const;

/** The name of the table is attribute 1 of every message but those of generations. */
const TABLE_NAME = 1;
const SET_NAME = 2;

/** A table of a family. */
export interface NftTableId {
  readonly family: 4 | 6;
  readonly name: string;
}

/** The rule set after one transaction of any program. */
export interface NftGeneration {
  readonly id: number;
  /** The thread that made the transaction, as the initial PID namespace numbers it, and its name. */
  readonly processId: number | undefined;
  readonly processName: string | undefined;
}

export function decodeGeneration(message: NetlinkMessage): NftGeneration | undefined {
  if (message.type !== New.GENERATION) return undefined;
  const values = netfilterAttributes(message);
  const id = numberIn(values.get(1));
  if (id === undefined) return undefined;
  return { id, processId: numberIn(values.get(2)), processName: textIn(values.get(3)) };
}

/** The table that a message about a change concerns. */
export function changedTable(message: NetlinkMessage): NftTableId | undefined {
  const family = netfilterFamily(message);
  if (family === undefined || message.type >> 8 !== SUBSYSTEM) return undefined;
  if (message.type === New.GENERATION) return undefined;
  const name = textIn(netfilterAttributes(message).get(TABLE_NAME));
  return name === undefined ? undefined : { family, name };
}

/** The request for a table, or for its parts. */
export function encodeTable({ family, name }: NftTableId): Uint8Array {
  return joined([netfilterHeader(family), attribute(TABLE_NAME, terminated(name))]);
}

/** The request for the elements of a set or map. */
export function encodeSet(table: NftTableId, set: string): Uint8Array {
  return joined([encodeTable(table), attribute(SET_NAME, terminated(set))]);
}

/** A part of a table as the kernel has it, without its elements. */
export interface NftPart {
  readonly kind: 'table' | 'chain' | 'set' | 'rule';
  /** Of a rule the name of its chain. */
  readonly name: string;
  /** Equal for equal parts: what the transaction gave, without handles, counts and what later kernels add. */
  readonly octets: Uint8Array;
}

interface PartForm {
  readonly kind: NftPart['kind'];
  /** The attribute with the name. */
  readonly name: number;
  readonly attributes: readonly number[];
}

const FORMS: ReadonlyMap<number, PartForm> = new Map<number, PartForm>([
  // Flags.
  [New.TABLE, { kind: 'table', name: TABLE_NAME, attributes: [2] }],
  // Hook, policy, type, flags.
  [New.CHAIN, { kind: 'chain', name: 3, attributes: [4, 5, 7, 10] }],
  // Flags, type and length of keys, type and length of data, description, timeout.
  [New.SET, { kind: 'set', name: SET_NAME, attributes: [3, 4, 5, 6, 7, 9, 11] }],
  // Expressions, user data.
  [New.RULE, { kind: 'rule', name: 2, attributes: [4, 7] }],
]);

/** The part of the table in a reply. */
export function decodePart(message: NetlinkMessage, table: NftTableId): NftPart | undefined {
  const form = FORMS.get(message.type);
  if (form === undefined || netfilterFamily(message) !== table.family) return undefined;
  const values = netfilterAttributes(message);
  const name = textIn(values.get(form.name));
  if (textIn(values.get(TABLE_NAME)) !== table.name || name === undefined) return undefined;
  const octets = form.attributes.flatMap((type) => {
    const value = values.get(type);
    return value === undefined ? [] : [attribute(type, value)];
  });
  return { kind: form.kind, name, octets: joined(octets) };
}

/** An element of a set, or of a map. Keys and data that are concatenations have each part padded to 4 octets. */
export interface NftElement {
  readonly key: Uint8Array;
  readonly data: Uint8Array | undefined;
}

const ELEMENTS_LIST = 3;
const LIST_ELEMENT = 1;
const Element = { KEY: 1, DATA: 2 } as const;
const DATA_VALUE = 1;

/** Calls back for each element in a reply. */
export function eachElement(message: NetlinkMessage, visit: (element: NftElement) => void): void {
  if (message.type !== New.ELEMENTS) return;
  const list = netfilterAttributes(message).get(ELEMENTS_LIST);
  if (list === undefined) return;
  eachAttribute(list, (type, value) => {
    if (type !== LIST_ELEMENT) return;
    const element = readAttributes(value);
    const key = dataValue(element.get(Element.KEY));
    if (key !== undefined) visit({ key, data: dataValue(element.get(Element.DATA)) });
  });
}

function dataValue(octets: Uint8Array | undefined): Uint8Array | undefined {
  return octets === undefined ? undefined : readAttributes(octets).get(DATA_VALUE)?.slice();
}
