/** The ambassador in a server: it starts once the store has been read, and says what the server may answer. */
import { freeRange, printNetwork, rangeClash } from '../../ambassador/rangeClash.ts';
import { maskedNetwork } from '../../ambassador/vipRange.ts';
import type { AmbassadorSettings } from '../../config/options/ambassadorOptions.ts';
import { readKnownNetworks } from '../../kernel/knownNetworks.ts';
import type { RegistrarHost } from '../../registrar/registrarHost.ts';
import type { ZoneSettings } from '../../zone/tree/view.ts';
import { Failure } from '../process/failure.ts';
import { HostAmbassador, type HostAmbassadorOptions } from './hostAmbassador.ts';
import type { HostPlane } from './hostPlane.ts';

export interface ServerAmbassadorOptions extends Omit<HostAmbassadorOptions, 'settings'> {
  readonly settings: AmbassadorSettings;
  /** The ambassador closes it. */
  readonly plane: HostPlane;
  /** Follows the virtual addresses; resolves when they have been read. */
  readonly followVirtualAddresses: () => Promise<void>;
  /** Receives what the server may answer from now on. */
  readonly onForce: (force: AmbassadorForce) => void;
}

/** What this host's ambassador lets the server answer. */
export type AmbassadorForce = Pick<ZoneSettings, 'virtualAddresses' | 'ambassador'>;

export class ServerAmbassador extends HostAmbassador {
  readonly #options: ServerAmbassadorOptions;
  #hasStarted = false;
  #answersVirtual = false;

  constructor(options: ServerAmbassadorOptions) {
    super(options);
    this.#options = options;
  }

  /** Call this once, when the names have been read. */
  async open(): Promise<void> {
    const { settings, plane, followVirtualAddresses } = this.#options;
    if (settings.vip && plane.kind === 'nft') await followVirtualAddresses();
    this.start(plane);
    this.#hasStarted = true;
    plane.onForce(() => this.#review());
    this.#review();
  }

  override follow(host: RegistrarHost): void {
    super.follow(host);
    host.onChange(() => this.#review());
    this.#review();
  }

  /** Which addresses the server answers names with that have a virtual one; undefined without `--vip`. */
  get vip(): 'ok' | 'real addresses' | undefined {
    if (!this.#options.settings.vip) return undefined;
    return this.#answersVirtual ? 'ok' : 'real addresses';
  }

  /** Whatever is answered must be routed: the server stops when a part is not in force. */
  #review(): void {
    const { settings, plane, onForce } = this.#options;
    this.#answersVirtual = settings.vip && plane.kind === 'nft' && this.isInForce;
    onForce({ virtualAddresses: this.#answersVirtual, ambassador: this.#hasStarted });
  }
}

/**
 * Throws a `Failure` if a range of virtual addresses shares addresses with a network of this host: these addresses could
 * not be reached any more.
 */
export async function refuseRangeClash({
  vip,
  vipRange,
  vipRange6,
}: AmbassadorSettings): Promise<void> {
  if (!vip) return;
  const networks = await readKnownNetworks();
  for (const [option, given] of [
    ['--vip-range', vipRange] as const,
    ['--vip-range6', vipRange6] as const,
  ]) {
    const range = given && maskedNetwork(given);
    const clash = range && rangeClash(range, networks);
    if (range === undefined || clash === undefined) continue;
    const problem = `${option}: ${printNetwork(range)} overlaps ${clash}, whose addresses would be hidden`;
    const free = freeRange(range, networks);
    const fix =
      free === undefined
        ? `choose a range that ip route show table all does not list`
        : `start the servers of all hosts with ${option} ${printNetwork(free)}`;
    throw new Failure('usage', problem, fix);
  }
}
