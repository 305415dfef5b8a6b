/** The names of the benchmarks: the same services for every server, as values, as a zone and as questions. */

export const DOMAIN = 'skydns.local';
export const TTL_SECONDS = 3600;
export const SRV_PORT = 8080;

export interface BenchName {
  readonly name: string;
  /** The store's key of the name. */
  readonly key: string;
  readonly address: string;
}

/** The parent key of all names, and its DNS name. */
export const BENCH_FOLDER = '/skydns/local/skydns/east/production';
export const BENCH_PARENT: string = `production.east.${DOMAIN}`;

/** Returns `count` names with an address each. */
export function benchNames(count: number): BenchName[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `${index % 10}.service${Math.floor(index / 10)}.${BENCH_PARENT}`,
    key: benchKey(index),
    address: addressOf(index),
  }));
}

export function benchKey(index: number): string {
  return `${BENCH_FOLDER}/service${Math.floor(index / 10)}/${index % 10}`;
}

/** Address number `index` of 10.0.0.0/8. */
export function addressOf(index: number): string {
  return `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`;
}

export function serviceValue(address: string): string {
  return JSON.stringify({ host: address, port: SRV_PORT });
}

/** A zone with the services' records: an address and an SRV record for each name. */
export function zoneText(names: readonly BenchName[]): string {
  const records = names.flatMap(({ name, address }) => [
    `${name}. A ${address}`,
    `${name}. SRV 10 100 ${SRV_PORT} ${name}.`,
  ]);
  return [
    `$TTL ${TTL_SECONDS}`,
    `${DOMAIN}. SOA ns.dns.${DOMAIN}. hostmaster.${DOMAIN}. 1 28800 7200 604800 60`,
    `${DOMAIN}. NS ns.dns.${DOMAIN}.`,
    `ns.dns.${DOMAIN}. A 127.0.0.1`,
    ...records,
    '',
  ].join('\n');
}

/** One question a line, in a shuffled order that is the same in every run. */
export function questionText(names: readonly BenchName[], types: readonly string[]): string {
  const lines = names.map(({ name }, index) => `${name} ${types[index % types.length]}`);
  let state = 1;
  for (let left = lines.length - 1; left > 0; left--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const other = state % (left + 1);
    const line = lines[left] as string;
    lines[left] = lines[other] as string;
    lines[other] = line;
  }
  return `${lines.join('\n')}\n`;
}
