/**
 * A zone with its answer table, on one thread and a manual clock, so that a test can compare both paths for one packet.
 */
import { aliasName } from '../../src/ambassador/names/consulName.ts';
import { Publisher } from '../../src/dataplane/publish/publisher.ts';
import { openFastPath } from '../../src/dataplane/reply/reader.ts';
import type { ClientPolicy } from '../../src/dataplane/sockets/clientPolicy.ts';
import { sockaddrOf } from '../../src/dataplane/sockets/layout.ts';
import { counterBlock, newCounterMemory } from '../../src/dataplane/table/counters.ts';
import { AnswerTable } from '../../src/dataplane/table/table.ts';
import type { Message, Question, Respond } from '../../src/dns/message.ts';
import type { Name } from '../../src/dns/name.ts';
import { Rcode, type Rr } from '../../src/dns/rr.ts';
import type { Forwarder } from '../../src/forward/forwarder.ts';
import type { Forwarded } from '../../src/forward/outcome.ts';
import { ClientGate } from '../../src/server/clientGate.ts';
import { createResponder } from '../../src/server/responder.ts';
import type { Change, Lease } from '../../src/service/change.ts';
import type { NameTable } from '../../src/service/key.ts';
import type { Decided } from '../../src/zone/answer.ts';
import { Catalog } from '../../src/zone/tree/catalog.ts';
import { ForwardedNames } from '../../src/zone/tree/forwardedNames.ts';
import { type External, externalKey, type ZoneSettings } from '../../src/zone/tree/view.ts';
import { cutsInForce, DelegatedNames } from '../../src/zone/zoneCuts.ts';
import { type TestTables, tablesOf } from './nameTables.ts';
import { settingsOf } from './zone.ts';

const CLIENT = { address: '192.0.2.99', port: 5353, localAddress: '172.17.0.1' } as const;

export class FastZone {
  nowMs = 1_000_500;
  unixSeconds = 7_300;
  settings: ZoneSettings;
  freshness: 'loading' | 'synced' | 'stale' = 'loading';
  /** Clients with DO get other answers, which only `Publisher.publishSignedSoon` publishes. */
  isSigned = false;
  readonly table: AnswerTable;
  readonly catalog: Catalog;
  readonly tables: TestTables;
  readonly publisher: Publisher;
  readonly counters = counterBlock(newCounterMemory(1), 0);
  /** Other servers' answers, by `externalKey`; every other question to them fails. */
  readonly world = new Map<string, External>();
  /** The slow path's last decision that holds for every client. */
  decided: Decided | undefined;
  readonly #gate: ClientGate;
  readonly #fast;
  readonly #stream;
  readonly #slow: Respond;
  readonly #delegated = new DelegatedNames();
  #domains: readonly Name[] = [];
  #isPublishing = false;
  #revision = 0;
  /** The createRevision of each key that exists. */
  readonly #created = new Map<string, number>();
  #random = 0.1;

  constructor(
    settings: Partial<ZoneSettings> = {},
    capacityOctets = 64 << 20,
    maxUdpOctets = 1232,
  ) {
    this.settings = settingsOf(settings);
    this.table = new AnswerTable(capacityOctets, 0x5eed, maxUdpOctets);
    const wallClock = () => Math.floor(Date.now() / 1000);
    const clocks = { monotonicMs: () => this.nowMs, unixSeconds: wallClock };
    this.#gate = new ClientGate(clocks, this.table.seed);
    this.catalog = new Catalog({
      prefix: '/skydns/',
      onApplied: (nodes) => {
        this.publisher.onApplied(nodes);
        if (this.#delegated.apply(nodes)) this.configure();
      },
    });
    this.tables = tablesOf(this.catalog, undefined, (ids) => {
      const { consul } = this.settings;
      if (consul === undefined) return;
      this.publisher.onNamesChanged(ids.map((id) => aliasName(id, consul)));
    });
    const { facts } = this.tables;
    const clock = {
      monotonicMs: () => this.nowMs,
      unixSeconds: () => this.unixSeconds,
      random: () => this.#nextRandom(),
    };
    const zone = { root: this.catalog.root, settings: () => this.settings, facts };
    const onFault = (error: unknown): never => {
      throw error;
    };
    const table = { table: this.table, isSigned: () => this.isSigned };
    this.publisher = new Publisher({ ...table, onError: onFault, ...zone, ...clock });
    this.#fast = openFastPath(this.table.handle, 0, this.counters, () => this.nowMs);
    const streamCounters = counterBlock(newCounterMemory(1), 0);
    this.#stream = openFastPath(this.table.handle, 0, streamCounters, () => this.nowMs, true);
    const forwarder = forwarderIn(this.world);
    this.#slow = createResponder({
      ...zone,
      ...clock,
      gate: this.#gate,
      version: () => this.catalog.version,
      freshness: () => this.freshness,
      forwarder: () => forwarder,
      mayRecurse: () => false,
      mayRebind: () => true,
      maxUdpOctets,
      onDecided: (decided) => {
        this.decided = decided;
        if (this.#isPublishing) this.publisher.publish(decided);
      },
      onError: onFault,
    });
  }

  /** Both paths follow the policy. */
  setPolicy(policy: ClientPolicy): void {
    for (const follower of [this.#fast, this.#stream, this.#gate]) follower.setPolicy(policy);
  }

  /** Changes settings and the domains of other servers, as the live configuration does, with the cuts in the store. */
  configure(changed: Partial<ZoneSettings> = {}, domains = this.#domains): void {
    this.#domains = domains;
    const settings = { ...this.settings, ...changed };
    const { apexes } = settings;
    const cuts = cutsInForce(this.#delegated.cuts(), apexes, domains);
    this.settings = { ...settings, forwarded: new ForwardedNames(domains, apexes, cuts) };
    this.publisher.refresh();
  }

  setFreshness(freshness: 'loading' | 'synced' | 'stale'): void {
    this.freshness = freshness;
    this.publisher.setFreshness(freshness);
  }

  put(key: string, value: unknown, lease?: Lease): void {
    this.apply([this.change(key, value, lease)]);
  }

  delete(key: string): void {
    this.apply([this.change(key, undefined)]);
  }

  /** A put, or with the value `undefined` a delete, of a key in one of the other tables. */
  putIn(table: NameTable, path: string, value: unknown): void {
    this.tables[table].apply([this.#change(`/skydns-${table}/${path}`, value)]);
  }

  /** A put, or with the value `undefined` a delete of the key. */
  change(key: string, value: unknown, lease?: Lease): Change {
    return this.#change(`/skydns/${key}`, value, lease);
  }

  #change(key: string, value: unknown, lease?: Lease): Change {
    const modRevision = ++this.#revision;
    const previous = undefined;
    if (value === undefined) {
      this.#created.delete(key);
      return { kind: 'delete', key, modRevision, previous };
    }
    const octets = Buffer.from(JSON.stringify(value));
    const createRevision = this.#created.get(key) ?? modRevision;
    this.#created.set(key, createRevision);
    const entry = { key, value: octets, createRevision, modRevision, lease };
    return { kind: 'put', entry, previous };
  }

  apply(changes: readonly Change[]): void {
    this.catalog.apply(changes);
  }

  /** The table's reply, or its `Outcome` if it has none. */
  fast(packet: Uint8Array, transport: 'udp' | 'tcp' = 'udp'): Buffer | number {
    const path = transport === 'tcp' ? this.#stream : this.#fast;
    const buffer = Buffer.alloc(path.replyOctets + packet.length + 3);
    buffer.set(packet, 3);
    if (path.needsClient) path.setClient(sockaddrOf(CLIENT.address), 0);
    path.beginBatch();
    const outcome = path.answer(buffer, 3, packet.length, false);
    path.endBatch();
    return outcome > 0 ? buffer.subarray(3, 3 + outcome) : outcome;
  }

  /** The slow path's reply, `undefined` for none. */
  slow(packet: Uint8Array, transport: 'udp' | 'tcp' = 'udp'): Buffer | undefined {
    let reply: Buffer | undefined;
    this.#slow(packet, { ...CLIENT, transport }, (octets) => {
      reply = Buffer.from(octets);
    });
    return reply;
  }

  /**
   * Handles the packet as a miss: the slow path answers it, and publishes the decision if it holds for every client.
   */
  publish(packet: Uint8Array): void {
    this.#isPublishing = true;
    this.slow(packet);
    this.#isPublishing = false;
  }

  #nextRandom(): number {
    this.#random = (this.#random * 7919 + 0.377) % 1;
    return this.#random;
  }
}

/** A forwarder whose cache has the answers of `world`; every other question fails. */
function forwarderIn(world: ReadonlyMap<string, External>): Forwarder {
  const known = (question: Question): Forwarded =>
    forwardedOf(question, world.get(externalKey(question.qname, question.qtype)));
  return {
    peek: known,
    resolve: async (question) => known(question),
    close: async () => {},
  };
}

function forwardedOf(question: Question, external: External | undefined): Forwarded {
  switch (external?.kind) {
    case 'found':
      return answered(question, Rcode.NOERROR, external.rrs, external.soa);
    case 'nxdomain':
      return answered(question, Rcode.NXDOMAIN, external.rrs);
    case 'unavailable':
      return { kind: 'refused', text: 'no server to ask' };
    default:
      return { kind: 'failed', reason: 'timeout', text: 'no reply' };
  }
}

function answered(question: Question, rcode: number, answer: readonly Rr[], soa?: Rr): Forwarded {
  const authority = soa === undefined ? [] : [soa];
  const message: Message = {
    id: 0,
    isResponse: true,
    opcode: 0,
    authoritative: false,
    truncated: false,
    recursionDesired: true,
    recursionAvailable: true,
    authenticData: false,
    checkingDisabled: false,
    rcode,
    questions: [question],
    answer,
    authority,
    additional: [],
    edns: undefined,
  };
  return { kind: 'answered', message };
}
