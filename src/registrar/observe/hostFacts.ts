/**
 * Where the registrar finds itself: the addresses under which others reach this engine's host, and the networks that
 * its own container is on. Addresses are never guessed: swarm's word, or the default route's if this process is on the
 * host's own network; otherwise `--ip` has to say it.
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
  /** Whether the engine is on this machine (its socket is a file). */
  readonly isLocal: boolean;
  /** `os.networkInterfaces()` */
  readonly interfaces: () => Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;
  /** Text of a file below /proc; `undefined` where there is none. */
  readonly readProc: (path: string) => Promise<string | undefined>;
}

/** Looks again: all of it may change. Rejects with an `EngineError`. */
export async function readHostFacts(place: HostSources, info: EngineInfo): Promise<HostFacts> {
  const ownId = parseOwnId((await place.readProc('/proc/self/mountinfo')) ?? '');
  const own = ownId === undefined ? undefined : await place.engine.inspect(ownId);
  const isOnHost = ownId === undefined || own?.HostConfig?.NetworkMode === 'host';
  const routed = place.isLocal && isOnHost ? await defaultAddresses(place) : {};
  const node = addressFamily(info.nodeAddress ?? '');
  return {
    hostAddresses: {
      v4: node === 4 ? info.nodeAddress : routed.v4,
      v6: node === 6 ? info.nodeAddress : routed.v6,
    },
    ownNetworks: Object.keys(own?.NetworkSettings?.Networks ?? {}),
  };
}

/** The id of the container that this process is in: Docker mounts some of its files from a folder of that name. */
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

/** The interface of the best default route in `/proc/net/route`. */
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

/** The same of `/proc/net/ipv6_route`. */
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

/** Watches where the registrar finds itself: the host's addresses and its own networks may change while it runs. */

export interface HostWatcherOptions {
  /** May reject with an `EngineError`. */
  readonly readHostFacts: (info: EngineInfo) => Promise<HostFacts>;
  readonly clock: Clock;
  /** They are others than before, or seen for the first time. */
  readonly onChange: (hostFacts: HostFacts) => void;
}

const LOOK_EVERY_MS = 15_000;

export class HostWatcher {
  readonly #options: HostWatcherOptions;
  #facts: HostFacts | undefined;
  #info: EngineInfo | undefined;
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(options: HostWatcherOptions) {
    this.#options = options;
  }

  /** Once, now. Rejects with an `EngineError`. */
  async read(info: EngineInfo): Promise<void> {
    const hostFacts = await this.#options.readHostFacts(info);
    if (this.#isClosed || isDeepStrictEqual(hostFacts, this.#facts)) return;
    this.#facts = hostFacts;
    this.#options.onChange(hostFacts);
  }

  /** From now on, until closed. Called again when the engine tells something else of itself. */
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
    this.#timer = this.#options.clock.startTimer(LOOK_EVERY_MS, again);
  }

  async #readAgain(): Promise<void> {
    try {
      if (this.#info !== undefined) await this.read(this.#info);
    } catch (error) {
      // While the engine is gone nothing is known to have changed.
      if (!(error instanceof EngineError)) throw error;
    }
    this.#wait();
  }
}
