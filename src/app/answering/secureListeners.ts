/** DNS over TLS and over HTTPS as parts of a server: their listeners, their certificate, and what is counted of them. */
import type { Config } from '../../config/config.ts';
import type { SocketAddress } from '../../dns/address.ts';
import { parseName } from '../../dns/name.ts';
import { addressSet } from '../../forward/addresses.ts';
import type { Log } from '../../observability/log.ts';
import type { CountedAnswers } from '../../server/answerCounters.ts';
import type { Designated } from '../../server/designated.ts';
import { type ListenFailure, listenStreams } from '../../server/listening/listen.ts';
import { StreamTable } from '../../server/tcp/streamTable.ts';
import { type CertificatePair, ServerCertificate } from '../../server/tls/certificate.ts';
import { DohListener } from '../../server/tls/doh.ts';
import { type DohCounters, newDohCounters } from '../../server/tls/dohAnswers.ts';
import { DotListener, secureLimits } from '../../server/tls/dot.ts';
import { type HandshakeCounters, newHandshakeCounters } from '../../server/tls/handshakes.ts';
import { readPair, readServerPair } from '../process/pemFiles.ts';
import { type ListenerParts, streamSockets } from './udp.ts';

type SecureConfig = Pick<
  Config,
  | ('dot' | 'doh' | 'dohPlain' | 'dohPath' | 'trustedProxies' | 'tlsConnections')
  | ('serverCertFile' | 'serverKeyFile' | 'workers' | 'takeover')
>;

/** What metrics say about connections of DNS over TLS and HTTPS. */
export interface SecureSources {
  readonly connections: Readonly<Record<SecureTransport, SecureConnections | undefined>>;
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

type SecureTransport = 'dot' | 'doh';

const OPTION_NAMES = { dot: '--dot', doh: '--doh', dohPlain: '--doh-plain' } as const;

type SecureOption = keyof typeof OPTION_NAMES;

export type SecureEndpoints = Readonly<Record<SecureOption, readonly SocketAddress[]>>;

interface Listener {
  readonly option: SecureOption;
  readonly transport: SecureTransport;
  readonly addresses: readonly SocketAddress[];
  readonly listener: DotListener | DohListener;
}

export class SecureListeners {
  readonly certificate: ServerCertificate | undefined;
  readonly #listeners: readonly Listener[];
  readonly #dohPath: string;
  readonly #handshakes = newHandshakeCounters();
  readonly #requests = newDohCounters();
  readonly #endpoints: Record<SecureOption, SocketAddress[]> = { dot: [], doh: [], dohPlain: [] };

  /** Throws a `Failure` if the certificate cannot be used. */
  constructor(config: SecureConfig, parts: ListenerParts) {
    this.certificate = certificateOf(config, parts.log);
    this.#listeners = this.#listenersOf(config, parts);
    this.#dohPath = config.dohPath;
  }

  /** Counters of the queries that the answer table answered. */
  get answers(): readonly CountedAnswers[] {
    return this.#listeners.flatMap(({ transport, listener }) =>
      listener.blocks.map((counted) => ({ transport, ...counted })),
    );
  }

  /** The addresses that it listens on, with the actual ports. */
  get endpoints(): SecureEndpoints {
    return this.#endpoints;
  }

  /** Listens on all addresses; undefined if that succeeds. */
  async listen(): Promise<ListenFailure | undefined> {
    for (const { option, addresses, listener } of this.#listeners) {
      const outcome = await listenStreams(addresses, listener);
      if (outcome.kind !== 'listening') return { ...outcome, option: OPTION_NAMES[option] };
      this.#endpoints[option].push(...outcome.endpoints);
    }
    return undefined;
  }

  /** For clients that look for encrypted transports; undefined if the certificate has no name for them. */
  get designated(): Designated | undefined {
    const target = this.certificate?.pair.names.find((name) => !name.startsWith('*'));
    const name = target === undefined ? undefined : parseName(target);
    if (name === undefined) return undefined;
    const { dot, doh } = this.#endpoints;
    return { target: name, dot, doh, dohPath: this.#dohPath };
  }

  divertToSuccessor(): void {
    for (const { listener } of this.#listeners) listener.divertToSuccessor();
  }

  metrics(): SecureSources {
    const counted = (transport: SecureTransport): SecureConnections | undefined => {
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
    const { respond, openReplies, onError } = parts;
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
    const add = (option: SecureOption, listener: () => DotListener | DohListener): void => {
      const transport = option === 'dot' ? 'dot' : 'doh';
      const addresses = config[option];
      if (addresses.length > 0)
        listeners.push({ option, transport, addresses, listener: listener() });
    };
    if (certificate !== undefined) {
      const tls = { certificate, handshakes };
      add('dot', () => new DotListener({ ...common(), ...tls, openReplies }));
      add('doh', () => new DohListener({ ...common(), ...doh, tls }));
    }
    const isTrustedProxy = addressSet(config.trustedProxies);
    add('dohPlain', () => new DohListener({ ...common(), ...doh, isTrustedProxy }));
    return listeners;
  }
}

function tableFor({ table, cache, policy, tap }: ListenerParts): StreamTable {
  const streamTable = new StreamTable({ ...table.handle, cache }, undefined, tap?.client);
  policy.add(streamTable);
  return streamTable;
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
  return new ServerCertificate({
    ...{ files, pair, read: readPair },
    onRenewed: (renewed) => log.info(expiry(renewed), 'new connections get another certificate'),
    onUnusable: (problem) => log.error({}, `${problem}; keeping the previous certificate`),
  });
}
