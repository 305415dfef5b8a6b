/**
 * The composition root: from a configuration to a running server. Everything else takes its parts as arguments; here
 * they are made, tied together, started in the order in which they need each other, and stopped in the reverse one.
 * Nothing waits for the store: the listeners are there at once, and answer for themselves until it was read.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Config, ConfigResult } from '../config.ts';
import { type FamilyBlock, tableReplies, type UdpListener } from '../dataplane/udpListener.ts';
import type { Name } from '../dns/name.ts';
import type { Respond } from '../dns/respond.ts';
import type { SocketAddress } from '../dns/socketAddress.ts';
import type { Endpoint } from '../docker/endpoint.ts';
import type { Log } from '../log.ts';
import type { QueryLog } from '../queryLog.ts';
import { AnswerCounters } from '../server/answerCounters.ts';
import { DEFAULT_TCP_LIMITS } from '../server/connectionTable.ts';
import type { Exchange } from '../server/http/exchange.ts';
import type { Figures } from '../server/http/health.ts';
import {
  adoptAll,
  describeListenFailure,
  type InheritedSocket,
  type ListenFailure,
  listenAll,
} from '../server/listen.ts';
import { Pending } from '../server/pending.ts';
import { createResponder } from '../server/responder.ts';
import { createTcpListener, type TcpListener } from '../server/tcp.ts';
import { fullTurn } from '../server/turns.ts';
import { keyPrefix } from '../service/key.ts';
import { createMirror, type Mirror, type MirrorEvent } from '../store/mirror.ts';
import type { LeaseStore } from '../store/store.ts';
import { Catalog } from '../zone/catalog.ts';
import { compactHeap } from './compactHeap.ts';
import { Effective } from './effective.ts';
import { type HttpOutcome, startHttp } from './httpServer.ts';
import { metricsPage } from './metricsPage.ts';
import { createMirrorLog, storeReasons } from './mirrored.ts';
import { createProcessProbe } from './processFigures.ts';
import { PublishedAnswers } from './publishedAnswers.ts';
import { createQueryLogOf } from './queryLogging.ts';
import { type Measured, metricsOf } from './serverMetrics.ts';
import { ServerRegistrar } from './serverRegistrar.ts';
import { openStore } from './storeAccess.ts';
import { giveWay, httpLater, prepareTakeover } from './takeover.ts';
import { openUdp, streamSockets } from './udp.ts';
import { warmUp } from './warmUp.ts';

export interface Server {
  /** Where DNS is answered, with the ports that were really got. */
  readonly endpoints: readonly SocketAddress[];
  readonly http: SocketAddress | undefined;
  /** The store's label, without credentials. */
  readonly store: string;
  /** Resolves once the store was read to its end. */
  readonly loaded: Promise<Loaded>;
  /** Why the server is not ready; empty when it is. */
  readiness(): readonly string[];
  figures(): Figures;
  /** The configuration in force. */
  config(): Config;
  /** Puts the configuration that was read again in force, or says why not. */
  reload(read: ConfigResult<Config>): void;
  /** Is not ready from here on. Stops taking questions, answers those that are there, and frees everything. */
  close(waits?: Partial<Waits>): Promise<void>;
}

/** What comes before the end, side by side. */
export interface Waits {
  /** Questions are answered for so long yet, so that whoever looks at the readiness can go elsewhere. */
  readonly lameDuckMs: number;
  /** The registrar serves deaths for so long. */
  readonly lingerMs: number;
}

export interface Loaded {
  readonly services: number;
  /** Those of the store's configuration, where it counts. */
  readonly domains: readonly Name[];
}

export type StartOutcome =
  | { readonly kind: 'started'; readonly server: Server }
  /** An address could not be had; one line that says which and why. */
  | Extract<HttpOutcome, { kind: 'refused' }>;

/**
 * `docker` is the engine to register from, if any; `inherited`, if there are any, are served instead of `config.addr`.
 * Rejects with a `StoreError` when an embedded store cannot be opened.
 */
export async function startServer(
  config: Config,
  log: Log,
  docker?: Endpoint,
  inherited: readonly InheritedSocket[] = [],
): Promise<StartOutcome> {
  const store = await openStore(config.store);
  const parts = assemble(config, store, log);
  const whenLoaded = loaded(parts);
  if (config.takeover) {
    parts.mirror.start();
    const { catalog, responder, udp } = parts;
    const warm = () => warmUp(catalog.root, responder.respondQuietly);
    const late = await prepareTakeover({ loaded: whenLoaded, warmUp: warm, udp });
    if (late !== undefined) {
      await closeParts(parts);
      return late;
    }
  }
  const listening = await (inherited.length > 0
    ? adoptAll(inherited, parts)
    : listenAll(config.addr, parts));
  if (listening.kind !== 'listening') {
    await closeParts(parts);
    return refusal(listening);
  }
  let stopping = false;
  const registrar = docker && new ServerRegistrar(config, docker, store, log);
  const readiness = (): readonly string[] => [
    ...(stopping ? ['server: stopping'] : []),
    ...storeReasons(parts.mirror.state(), store),
    ...(registrar?.readiness() ?? []),
  ];
  const figures = () => figuresOf(parts);
  const page = (exchange: Exchange) =>
    registrar?.page(exchange) ?? metricsPage(exchange, () => metricsOf(parts, registrar));
  const startPages = () => startHttp(config, { store, readiness, figures, page }, log);
  const http = await (config.takeover ? httpLater(startPages, log) : startPages());
  if (http.kind === 'refused') {
    await closeParts(parts);
    return http;
  }
  if (!config.takeover) parts.mirror.start();
  void whenLoaded.then(({ domains }) => registrar?.start(domains));
  const server: Server = {
    endpoints: listening.endpoints,
    http: http.endpoint,
    store: store.label,
    loaded: whenLoaded,
    readiness,
    figures,
    config: () => parts.effective.config,
    reload: (read) => parts.effective.reload(read),
    async close({ lameDuckMs = 0, lingerMs = 0 } = {}) {
      stopping = true;
      const settleMs = await giveWay(listening.endpoints, [parts.udp, parts.tcp], log);
      await Promise.all([pause(Math.max(lameDuckMs, settleMs)), registrar?.close(lingerMs)]);
      await http.close();
      await closeParts(parts);
    },
  };
  return { kind: 'started', server };
}

/** All that a server is made of, but HTTP. */
interface Parts {
  readonly store: LeaseStore;
  readonly catalog: Catalog;
  readonly effective: Effective;
  readonly answers: PublishedAnswers;
  readonly mirror: Mirror;
  readonly responder: Responder;
  readonly udp: UdpListener;
  readonly tcp: TcpListener;
  readonly measured: Measured;
}

function assemble(config: Config, store: LeaseStore, log: Log): Parts {
  const measured = {
    answers: new AnswerCounters(),
    process: createProcessProbe(),
    invalidValues: 0,
  };
  const catalog = new Catalog({
    prefix: keyPrefix(config.pathPrefix),
    onInvalid(key, reason) {
      measured.invalidValues++;
      log.warn({ key, reason }, 'value skipped');
    },
    onApplied: (nodes) => answers.applied(nodes),
  });
  const effective = new Effective(config, catalog.configKey, log);
  const answers = new PublishedAnswers({
    capacityOctets: config.tableMib * 2 ** 20,
    root: catalog.root,
    settings: () => effective.settings,
    monotonicMs,
    unixSeconds,
    onError: (err) => log.error({ err }, 'an answer could not be published'),
  });
  effective.onChanged(() => answers.refresh());
  const mirror: Mirror = mirrorOf(config, store, catalog, effective, log, (event) =>
    answers.follow(event, mirror.state()),
  );
  const tableBlocks: FamilyBlock[] = [];
  const unrecorded = (): number => tableReplies(tableBlocks);
  const queryLog = createQueryLogOf(effective, answers, log, { nowMs: monotonicMs, unrecorded });
  const responder = responderOf(
    catalog,
    effective,
    mirror,
    answers,
    measured.answers,
    queryLog,
    log,
  );
  const onError = (err: Error): void => log.warn({ err }, 'listener');
  const { respond } = responder;
  const udp = openUdp(config, { effective, answers, respond, onError, log });
  tableBlocks.push(...udp.blocks);
  const tcp = createTcpListener({ respond, onError, sockets: streamSockets(config) });
  return { store, catalog, effective, answers, mirror, responder, udp, tcp, measured };
}

function mirrorOf(
  config: Config,
  store: LeaseStore,
  catalog: Catalog,
  effective: Effective,
  log: Log,
  onEvent: (event: MirrorEvent) => void,
): Mirror {
  const say = createMirrorLog(log);
  return createMirror({
    store,
    prefix: keyPrefix(config.pathPrefix),
    replica: {
      apply(changes) {
        effective.note(changes);
        catalog.apply(changes);
        effective.settle();
      },
      revisions: () => catalog.revisions(),
    },
    onEvent(event) {
      say(event, { services: catalog.size, invalid: catalog.invalid.size });
      if (event.kind === 'loaded') effective.overlay(); // the mirror is not synced before this returns
      onEvent(event);
      if (isBigLoad(event)) compactHeap();
    },
  });
}

interface Responder {
  readonly respond: Respond;
  /** Asks nobody, counts and logs nothing. */
  readonly respondQuietly: Respond;
  readonly pending: Pending;
  close(): void;
}

const monotonicMs = (): number => performance.now();
const unixSeconds = (): number => Math.floor(Date.now() / 1000);

function responderOf(
  catalog: Catalog,
  effective: Effective,
  mirror: Mirror,
  answers: PublishedAnswers,
  counters: AnswerCounters,
  queryLog: QueryLog,
  log: Log,
): Responder {
  const pending = new Pending();
  const quiet = {
    root: catalog.root,
    settings: () => effective.settings,
    freshness: () => mirror.state().kind,
    forwarder: () => undefined,
    mayRecurse: () => false,
    monotonicMs,
    unixSeconds,
    random: Math.random,
    onError: (err: unknown) => log.error({ err }, 'a query failed'),
  };
  const respondQuietly = createResponder({
    ...quiet,
    // What rests on others' answers needs them.
    onOurs: (question, externals) => externals.size === 0 && answers.publish(question, externals),
  });
  const respond = createResponder({
    ...quiet,
    forwarder: () => effective.forwarder,
    mayRecurse: (address) => effective.mayRecurse(address),
    onOurs: (question, externals) => answers.publish(question, externals),
    onAnswered: ({ client, query, response, durationMs }) =>
      queryLog.record(client, query.question, response.rcode, durationMs),
    onPending: (answer) => pending.add(answer),
    counters,
  });
  return { respond, respondQuietly, pending, close: () => queryLog.close() };
}

async function closeParts(parts: Parts): Promise<void> {
  const { store, effective, answers, mirror, responder, udp, tcp, measured } = parts;
  await fullTurn(); // what has arrived is answered too
  await udp.stop();
  await Promise.all([tcp.close(), responder.pending.sent(DEFAULT_TCP_LIMITS.closeMs)]);
  await udp.close();
  responder.close();
  measured.process.close();
  mirror.close();
  answers.close();
  await effective.close();
  await store.close();
}

async function loaded({ mirror, catalog, effective }: Parts): Promise<Loaded> {
  await mirror.waitFor(0);
  return { services: catalog.size, domains: effective.config.domains };
}

function figuresOf({ catalog, mirror, udp, tcp }: Parts): Figures {
  const state = mirror.state();
  return {
    services: catalog.size,
    invalid: catalog.invalid.size,
    revision: state.kind === 'loading' ? undefined : state.revision,
    mirror: mirror.counters(),
    udp: udp.counters(),
    tcp: tcp.counters(),
  };
}

function refusal(failure: ListenFailure): StartOutcome {
  return {
    kind: 'refused',
    code: failure.kind === 'forbidden' ? 'not_permitted' : 'unreachable',
    reason: describeListenFailure(failure),
  };
}

/** Below this the garbage of a load is not worth a pause. */
const BIG_LOAD_KEYS = 20_000;

function isBigLoad(event: MirrorEvent): boolean {
  return event.kind === 'loaded' && event.keys >= BIG_LOAD_KEYS;
}
