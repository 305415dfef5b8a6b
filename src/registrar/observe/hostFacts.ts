/**
 * Reads and watches the facts about the registrar's host: the addresses under which other hosts reach it, and the
 * networks of the registrar's own container. Addresses are never guessed. They come from swarm, or from the default
 * route if this process is on the host's own network. Otherwise the operator must set `--ip`.
 */
import type { NetworkInterfaceInfo } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import { addressFamily } from '../../dns/address.ts';
import type { Clock, Timer } from '../../timing/clock.ts';
import type { HostAddresses, HostFacts } from '../describe/context.ts';
import { asContainerId, type ContainerId } from '../engine/containerId.ts';
import { type Engine, EngineError, type EngineInfo } from '../engine/engine.ts';

export interface HostSources {
  readonly engine: Pick<Engine, 'inspect'>;
  /** Whether the engine is on this machine: its socket is a file. */
  readonly isLocal: boolean;
  /** `os.networkInterfaces()` */
  readonly interfaces: () => Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;
  /** Returns the text of a file below /proc; `undefined` if the file does not exist. */
  readonly readProc: (path: string) => Promise<string | undefined>;
}

/** Reads all facts again, because each may change. Rejects with an `EngineError`. */
export async function readHostFacts(sources: HostSources, info: EngineInfo): Promise<HostFacts> {
  const ownId = parseOwnId((await sources.readProc('/proc/self/mountinfo')) ?? '');
  const own = ownId === undefined ? undefined : await sources.engine.inspect(ownId);
  const isOnHost = ownId === undefined || own?.HostConfig?.NetworkMode === 'host';
  const routed = sources.isLocal && isOnHost ? await defaultAddresses(sources) : {};
  const node = addressFamily(info.nodeAddress ?? '');
  return {
    hostAddresses: {
      v4: node === 4 ? info.nodeAddress : routed.v4,
      v6: node === 6 ? info.nodeAddress : routed.v6,
    },
    ownNetworks: Object.keys(own?.NetworkSettings?.Networks ?? {}),
  };
}

/** The id of this process's own container. Docker mounts some of the container's files from a folder with that name. */
function parseOwnId(mountinfo: string): ContainerId | undefined {
  const file = /^\S+ \S+ \S+ \S*\/([0-9a-f]{64})\/(?:hostname|hosts|resolv\.conf) \/etc\//m;
  const id = file.exec(mountinfo)?.[1];
  return id === undefined ? undefined : asContainerId(id);
}

async function defaultAddresses({ interfaces, readProc }: HostSources): Promise<HostAddresses> {
  const v4Route = parseDefaultRoute((await readProc('/proc/net/route')) ?? '');
  const v6Route = parseDefaultRoute6((await readProc('/proc/net/ipv6_route')) ?? '');
  const all = interfaces();
  const find = (name: string | undefined, family: 4 | 6): string | undefined =>
    name === undefined
      ? undefined
      : all[name]?.find(
          ({ address, internal }) =>
            !internal && addressFamily(address) === family && !/^fe[89ab]/i.test(address),
        )?.address;
  return { v4: find(v4Route, 4), v6: find(v6Route, 6) };
}

const RTF_UP = 1;
const RTF_REJECT = 0x200;

/** The interface of the best default route in `/proc/net/route`. Fields: interface, destination, gateway, flags, ... */
function parseDefaultRoute(text: string): string | undefined {
  const routes = text.split('\n').map((line) => line.trim().split(/\s+/));
  return bestOf(
    routes
      .filter(
        ([, destination, , , , , , mask]) => destination === '00000000' && mask === '00000000',
      )
      .map(([name = '', , , flags = '', , , metric]) => ({
        name,
        flags: Number.parseInt(flags, 16),
        metric: Number(metric),
      })),
  );
}

/**
 * The interface of the best default route in `/proc/net/ipv6_route`. Fields: destination, its prefix length, ...,
 * metric, ..., flags, interface.
 */
function parseDefaultRoute6(text: string): string | undefined {
  const routes = text.split('\n').map((line) => line.trim().split(/\s+/));
  return bestOf(
    routes
      .filter(([destination, length]) => /^0{32}$/.test(destination ?? '') && length === '00')
      .map(([, , , , , metric = '', , , flags = '', name = '']) => ({
        name,
        flags: Number.parseInt(flags, 16),
        metric: Number.parseInt(metric, 16),
      })),
  );
}

interface DefaultRoute {
  readonly name: string;
  readonly flags: number;
  readonly metric: number;
}

function bestOf(routes: readonly DefaultRoute[]): string | undefined {
  return routes
    .filter(({ name, flags }) => name !== 'lo' && (flags & RTF_UP) !== 0 && !(flags & RTF_REJECT))
    .sort((a, b) => a.metric - b.metric || (a.name < b.name ? -1 : 1))[0]?.name;
}

export interface HostWatcherOptions {
  /** May reject with an `EngineError`. */
  readonly readHostFacts: (info: EngineInfo) => Promise<HostFacts>;
  readonly clock: Clock;
  /** Called with the first facts and after each change. */
  readonly onChange: (hostFacts: HostFacts) => void;
}

const READ_EVERY_MS = 15_000;

/** Reads the facts at intervals, because addresses and networks may change while the registrar runs. */
export class HostWatcher {
  readonly #options: HostWatcherOptions;
  #facts: HostFacts | undefined;
  #info: EngineInfo | undefined;
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(options: HostWatcherOptions) {
    this.#options = options;
  }

  /** Reads the facts once. Rejects with an `EngineError`. */
  async read(info: EngineInfo): Promise<void> {
    const hostFacts = await this.#options.readHostFacts(info);
    if (this.#isClosed || isDeepStrictEqual(hostFacts, this.#facts)) return;
    this.#facts = hostFacts;
    this.#options.onChange(hostFacts);
  }

  /** Starts to read the facts at intervals, until `close`. Call it again when the engine's info has changed. */
  watch(info: EngineInfo): void {
    const isWatching = this.#info !== undefined;
    this.#info = info;
    if (!isWatching) this.#wait();
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  #wait(): void {
    if (this.#isClosed) return;
    const again = (): void => void this.#readAgain();
    this.#timer = this.#options.clock.startTimer(READ_EVERY_MS, again);
  }

  async #readAgain(): Promise<void> {
    try {
      if (this.#info !== undefined) await this.read(this.#info);
    } catch (error) {
      // While the engine is unreachable, the last facts stay.
      if (!(error instanceof EngineError)) throw error;
    }
    this.#wait();
  }
}
