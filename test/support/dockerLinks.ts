/**
 * What `docker run --link` gave a consumer (test/ambassador/dockerLinks.json), recorded from two versions of Docker:
 *
 * - Docker 28.5: `ALIAS_PORT` is the first TCP port, and the variables of a range come after its ports.
 * - Docker 20.10: `ALIAS_PORT` is the lowest port of any protocol, ranges come first, one of two ports is not reported,
 *   and consecutive numbers of different protocols are a range too.
 */
import { readFileSync } from 'node:fs';
import type { LinkedService, ReachedPort } from '../../src/ambassador/linkVariables.ts';

export interface RecordedLink {
  readonly alias: string;
  /** Values of the provider's `--expose`. */
  readonly expose: readonly string[];
  /** Values of the provider's `--env`. */
  readonly env: readonly string[];
  /** The provider's. */
  readonly address: string;
  /** The consumer's variables of the alias, as `env` prints them. */
  readonly docker28: readonly string[];
  readonly docker20: readonly string[];
}

const url = new URL('../ambassador/dockerLinks.json', import.meta.url);

export const RECORDED_LINKS: readonly RecordedLink[] = JSON.parse(readFileSync(url, 'utf8')).sets;

/** The recorded provider, as it is linked to a container with the name `consumer`. */
export function linkedServiceOf({ alias, expose, env, address }: RecordedLink): LinkedService {
  return {
    alias,
    name: `/consumer/${alias}`,
    ports: expose.flatMap((text) => portsIn(text, address)),
    // Every container of the tests has a PATH.
    env: [...env, 'PATH=/bin:/usr/bin'].map((pair) => {
      const [name = '', ...value] = pair.split('=');
      return { name, value: value.join('=') };
    }),
  };
}

/** The ports of `5432`, `53/udp` or `9000-9002`. */
function portsIn(text: string, host: string): readonly ReachedPort[] {
  const [range = '', protocol] = text.split('/');
  const [first, last = first] = range.split('-').map(Number);
  const ports: ReachedPort[] = [];
  for (let number = first ?? 0; number <= (last ?? 0); number++)
    ports.push({
      exposed: { number, protocol: protocol === 'udp' ? 'udp' : 'tcp' },
      host,
      port: number,
    });
  return ports;
}

/** Whether Docker 20.10 and 28.5 give the variable in the same way. */
export function isUnchanged(line: string): boolean {
  return !/^[^=]*(?:_PORT_[0-9]+_(?:TCP|UDP)(?:_PORT)?_(?:START|END)|^[A-Z_.]+_PORT)=/.test(line);
}
