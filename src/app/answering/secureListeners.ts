/** DNS over TLS and over HTTPS as parts of a server: their listeners, their certificate, and what is counted of them. */
import type { Config } from '../../config/config.ts';
import type { SocketAddress } from '../../dns/address.ts';
import { addressSet } from '../../forward/addresses.ts';
import type { Log } from '../../observability/log.ts';
import type { CountedAnswers } from '../../server/answerCounters.ts';
import { type ListenFailure, listenStreams } from '../../server/listening/listen.ts';
import { StreamTable } from '../../server/tcp/streamTable.ts';
import { type CertificatePair, ServerCertificate } from '../../server/tls/certificate.ts';
import { DohListener } from '../../server/tls/doh.ts';
import { type DohCounters, newDohCounters } from '../../server/tls/dohAnswers.ts';
import { DotListener, secureLimits } from '../../server/tls/dot.ts';
import { type HandshakeCounters, newHandshakeCounters } from '../../server/tls/handshakes.ts';
import { readServerPair } from '../process/pemFiles.ts';
import type { LiveConfig } from './liveConfig.ts';
import { type ListenerParts, streamSockets } from './udp.ts';

type SecureConfig = Pick<
  Config,
  | ('dot' | 'doh' | 'dohPlain' | 'dohPath' | 'trustedProxies' | 'tlsConnections')
  | ('serverCertFile' | 'serverKeyFile' | 'workers' | 'takeover')
>;

/** What metrics say about connections of DNS over TLS and HTTPS. */
export interface SecureSources {
  readonly connections: Readonly<Record<Transport, SecureConnections | undefined>>;
  readonly handshakes: Readonly<HandshakeCounters>;
  readonly requests: Readonly<DohCounters>;
  /** Undefined without a certificate. */
  readonly certificateExpiresUnixSeconds: number | undefined;
}

export interface SecureConnections {
  readonly open: number;
  readonly accepted: number;
  readonly refused: number;
  readonly refusedPerClient: number;
  readonly evicted: number;
}

type Transport = 'dot' | 'doh';

export type SecureEndpoints = Readonly<Record<Transport, readonly SocketAddress[]>>;

interface Listener {
  readonly option: '--dot' | '--doh' | '--doh-plain';
  readonly transport: Transport;
  readonly addresses: readonly SocketAddress[];
  readonly listener: DotListener | DohListener;
}

export class SecureListeners {
  readonly certificate: ServerCertificate | undefined;
  readonly #listeners: readonly Listener[];
  readonly #handshakes = newHandshakeCounters();
  readonly #requests = newDohCounters();
  readonly #endpoints: Record<Transport, SocketAddress[]> = { dot: [], doh: [] };

  /** Throws a `Failure` if the certificate cannot be used. */
  constructor(config: SecureConfig, parts: ListenerParts) {
    this.certificate = certificateOf(config, parts.log);
    this.#listeners = this.#listenersOf(config, parts);
  }

  /** Counters of the queries that the answer table answered. */
  get answers(): readonly CountedAnswers[] {
    return this.#listeners.flatMap(({ transport, listener }) =>
      listener.blocks.map((counted) => ({ transport, ...counted })),
    );
  }

  /** The addresses that it listens on, with the actual ports: over TLS, and over HTTPS or HTTP. */
  get endpoints(): SecureEndpoints {
    return this.#endpoints;
  }

  /** Listens on all addresses; undefined if that succeeds. */
  async listen(): Promise<ListenFailure | undefined> {
    for (const { option, transport, addresses, listener } of this.#listeners) {
      const outcome = await listenStreams(addresses, listener);
      if (outcome.kind !== 'listening') return { ...outcome, option };
      this.#endpoints[transport].push(...outcome.endpoints);
    }
    return undefined;
  }

  divertToSuccessor(): void {
    for (const { listener } of this.#listeners) listener.divertToSuccessor();
  }

  metrics(): SecureSources {
    const counted = (transport: Transport): SecureConnections | undefined => {
      const own = this.#listeners.filter((each) => each.transport === transport);
      return own.length === 0 ? undefined : summed(own.map(({ listener }) => listener.counters()));
    };
    return {
      connections: { dot: counted('dot'), doh: counted('doh') },
      handshakes: this.#handshakes,
      requests: this.#requests,
      certificateExpiresUnixSeconds: this.certificate?.pair.expiresUnixSeconds,
    };
  }

  async close(): Promise<void> {
    this.certificate?.close();
    await Promise.all(this.#listeners.map(({ listener }) => listener.close()));
  }

  #listenersOf(config: SecureConfig, parts: ListenerParts): readonly Listener[] {
    const { respond, onError } = parts;
    const certificate = this.certificate;
    const [handshakes, counters] = [this.#handshakes, this.#requests];
    const common = () => ({
      ...{ respond, onError },
      table: tableFor(parts),
      sockets: streamSockets(config),
      limits: secureLimits(config.tlsConnections),
    });
    const doh = { path: config.dohPath, counters };
    const listeners: Listener[] = [];
    const add = (
      option: Listener['option'],
      addresses: readonly SocketAddress[],
      listener: () => DotListener | DohListener,
    ): void => {
      const transport = option === '--dot' ? 'dot' : 'doh';
      if (addresses.length > 0)
        listeners.push({ option, transport, addresses, listener: listener() });
    };
    if (certificate !== undefined) {
      const tls = { certificate, handshakes };
      add('--dot', config.dot, () => new DotListener({ ...common(), ...tls }));
      add('--doh', config.doh, () => new DohListener({ ...common(), ...doh, tls }));
    }
    const isTrustedProxy = addressSet(config.trustedProxies);
    add('--doh-plain', config.dohPlain, () => {
      return new DohListener({ ...common(), ...doh, isTrustedProxy });
    });
    return listeners;
  }
}

function tableFor({ table, cache, liveConfig }: ListenerParts): StreamTable {
  const streamTable = new StreamTable({ ...table.handle, cache });
  followRanges(liveConfig, streamTable);
  return streamTable;
}

/** Tells the table which clients may recurse, now and after each change. */
function followRanges(liveConfig: LiveConfig, table: StreamTable): void {
  const follow = (): void => {
    const ranges = liveConfig.forwarder === undefined ? [] : liveConfig.config.recursionAllow;
    table.recurseFor(ranges);
  };
  liveConfig.onChanged(follow);
  follow();
}

function summed(counters: readonly SecureConnections[]): SecureConnections {
  const sum = (field: keyof SecureConnections): number =>
    counters.reduce((total, each) => total + each[field], 0);
  return {
    open: sum('open'),
    accepted: sum('accepted'),
    refused: sum('refused'),
    refusedPerClient: sum('refusedPerClient'),
    evicted: sum('evicted'),
  };
}

function certificateOf(config: SecureConfig, log: Log): ServerCertificate | undefined {
  const { serverCertFile, serverKeyFile } = config;
  const pair = readServerPair(config);
  if (pair === undefined || serverCertFile === undefined || serverKeyFile === undefined)
    return undefined;
  const files = { certFile: serverCertFile, keyFile: serverKeyFile };
  const expiry = ({ names, expiresUnixSeconds }: CertificatePair) => ({
    names,
    expires: new Date(expiresUnixSeconds * 1000).toISOString(),
  });
  return new ServerCertificate(files, pair, {
    onRenewed: (renewed) => log.info(expiry(renewed), 'new connections get another certificate'),
    onUnusable: (problem) => log.error({}, `${problem}; keeping the previous certificate`),
  });
}
