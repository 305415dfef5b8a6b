/** The shape of other programs' tables: a chain for each service, to which a map of verdicts leads. */
import { type Nft, openNft } from '../../src/kernel/libnftables.ts';
import { vipOf } from './kernelPlane.ts';

const TABLE = 'ip chains';
const BACKENDS = 3;
/** A transaction has at most this many chains. */
const STEP = 10_000;

export class ChainTable {
  readonly #nft: Nft;

  constructor() {
    const opened = openNft();
    if (opened.kind === 'missing') throw new Error(opened.reason);
    this.#nft = opened.nft;
  }

  /** Returns the seconds. */
  load(services: number): number {
    const startedMs = performance.now();
    this.#run(
      [
        `add table ${TABLE}`,
        `add map ${TABLE} services { type ipv4_addr . inet_proto . inet_service : verdict; }`,
        `add chain ${TABLE} before { type nat hook prerouting priority -90; policy accept; }`,
        `add rule ${TABLE} before ip daddr . meta l4proto . th dport vmap @services`,
      ].join('\n'),
    );
    for (let first = 0; first < services; first += STEP) {
      const numbers = Array.from({ length: Math.min(STEP, services - first) }, (_, i) => first + i);
      const chains = numbers.map(
        (number) => `add chain ${TABLE} service${number}\n${this.#rule(number, 0)}`,
      );
      const elements = numbers.map(
        (number) => `${vipOf(number)} . tcp . 80 : goto service${number}`,
      );
      this.#run(`${chains.join('\n')}\nadd element ${TABLE} services { ${elements.join(', ')} }`);
    }
    return (performance.now() - startedMs) / 1000;
  }

  /** Gives a service other backends; returns the milliseconds. */
  change(service: number, version: number): number {
    const startedMs = performance.now();
    this.#run(`flush chain ${TABLE} service${service}\n${this.#rule(service, version)}`);
    return performance.now() - startedMs;
  }

  close(): void {
    this.#nft.run(`delete table ${TABLE}`);
    this.#nft.close();
  }

  #rule(service: number, version: number): string {
    const backends = Array.from({ length: BACKENDS }, (_, i) => {
      const number = service * BACKENDS + ((i + version) % BACKENDS);
      return `${i} : 10.${100 + (number >> 16)}.${(number >> 8) & 255}.${number & 255} . 7001`;
    });
    return `add rule ${TABLE} service${service} meta l4proto tcp dnat ip to numgen random mod ${BACKENDS} map { ${backends.join(', ')} }`;
  }

  #run(commands: string): void {
    const outcome = this.#nft.run(commands);
    if (outcome.kind === 'refused') throw new Error(outcome.reason);
  }
}
