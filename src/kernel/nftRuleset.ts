/**
 * Reads the rule set of nf_tables in this network namespace, and watches it: which tables were changed, and by which
 * program. Changes of one's own are reported as those of others.
 */
import { netfilterHeader } from './netlinkMessage.ts';
import {
  NETLINK_NETFILTER,
  type NetlinkDump,
  type NetlinkSocket,
  openNetlink,
} from './netlinkSocket.ts';
import {
  changedTable,
  decodeGeneration,
  decodePart,
  eachElement,
  encodeSet,
  encodeTable,
  type NftElement,
  NftGet,
  type NftPart,
  type NftTableId,
} from './nftMessage.ts';

export type NftRulesetOpened =
  | { readonly kind: 'ruleset'; readonly ruleset: NftRuleset }
  /** `reason` has no full stop. */
  | { readonly kind: 'missing'; readonly reason: string };

/** The parts of a table; none if the table does not exist. */
export type NftParts = NetlinkDump<NftPart>;

/** What has changed since the last look. */
export interface NftChanges {
  readonly tables: readonly NftTableId[];
  /** The programs that changed the rule set, each once. */
  readonly programs: readonly string[];
  /** False if the kernel has discarded messages: any table may have changed. */
  readonly isWhole: boolean;
}

/** NFNLGRP_NFTABLES. */
const GROUP = 7;
/** A program that changes the rule set all the time does not keep us busy for ever. */
const MAX_TRIES = 8;

/** Needs CAP_NET_ADMIN, and a kernel with nf_tables, which is tried here. */
export function openNftRuleset(): NftRulesetOpened {
  const requests = openNetlink(NETLINK_NETFILTER);
  if (requests.kind === 'missing') return requests;
  const watched = openNetlink(NETLINK_NETFILTER, [GROUP]);
  if (watched.kind === 'missing') {
    requests.socket.close();
    return watched;
  }
  const ruleset = new NftRuleset(requests.socket, watched.socket);
  const tried = ruleset.generation();
  if (tried.kind === 'generation') return { kind: 'ruleset', ruleset };
  ruleset.close();
  return { kind: 'missing', reason: `nf_tables cannot be read: ${tried.code}` };
}

export type NftGenerationRead =
  | { readonly kind: 'generation'; readonly id: number }
  | { readonly kind: 'failed'; readonly code: string };

export class NftRuleset {
  readonly #requests: NetlinkSocket;
  readonly #watched: NetlinkSocket;

  constructor(requests: NetlinkSocket, watched: NetlinkSocket) {
    this.#requests = requests;
    this.#watched = watched;
  }

  /** Each transaction that changes something, of any program, adds one to the generation. */
  generation(): NftGenerationRead {
    let id: number | undefined;
    const result = this.#requests.request(NftGet.GENERATION, netfilterHeader(4), (message) => {
      id = decodeGeneration(message)?.id ?? id;
    });
    if (result.kind === 'failed') return result;
    return id === undefined ? { kind: 'failed', code: 'ENODATA' } : { kind: 'generation', id };
  }

  /** The table, then its chains, sets and rules, in the kernel's order. */
  parts(table: NftTableId): NftParts {
    return this.#inOneGeneration(() => this.#parts(table));
  }

  /** The elements of a set or map. */
  elements(table: NftTableId, set: string): NetlinkDump<NftElement> {
    const payload = encodeSet(table, set);
    return this.#inOneGeneration(() =>
      this.#requests.dump<NftElement>(NftGet.ELEMENTS, payload, (message, elements) =>
        eachElement(message, (element) => elements.push(element)),
      ),
    );
  }

  /** Reads again if the rule set changes meanwhile: the kernel does not say so for elements, nor between two requests. */
  #inOneGeneration<T>(read: () => NetlinkDump<T>): NetlinkDump<T> {
    let before = this.generation();
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const result = read();
      const after = this.generation();
      for (const each of [before, result, after]) if (each.kind === 'failed') return each;
      if (isSame(before, after)) return result;
      before = after;
    }
    return { kind: 'failed', code: 'EAGAIN' };
  }

  #parts(table: NftTableId): NftParts {
    const payload = encodeTable(table);
    const entries: NftPart[] = [];
    const found = this.#requests.request(NftGet.TABLE, payload, (message) => {
      const part = decodePart(message, table);
      if (part !== undefined) entries.push(part);
    });
    if (found.kind === 'failed')
      return found.code === 'ENOENT' ? { kind: 'complete', entries: [] } : found;
    for (const type of [NftGet.CHAINS, NftGet.SETS, NftGet.RULES]) {
      const dump = this.#requests.dump<NftPart>(type, payload, (message, parts) => {
        const part = decodePart(message, table);
        if (part !== undefined) parts.push(part);
      });
      if (dump.kind === 'failed') return dump;
      entries.push(...dump.entries);
    }
    return { kind: 'complete', entries };
  }

  /** What has changed since the last call, without waiting. */
  changes(): NftChanges {
    const tables = new Map<string, NftTableId>();
    const programs = new Set<string>();
    const isWhole = this.#watched.drain((message) => {
      const table = changedTable(message);
      if (table !== undefined) tables.set(`${table.family} ${table.name}`, table);
      const program = decodeGeneration(message)?.processName;
      if (program !== undefined) programs.add(program);
    });
    return { tables: [...tables.values()], programs: [...programs], isWhole };
  }

  close(): void {
    this.#requests.close();
    this.#watched.close();
  }
}

function isSame(a: NftGenerationRead, b: NftGenerationRead): boolean {
  return a.kind === 'generation' && b.kind === 'generation' && a.id === b.id;
}
