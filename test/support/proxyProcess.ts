/**
 * A proxy in a process of its own, so that its memory can be measured alone. The file is also that process's program.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ProxyPlane } from '../../src/ambassador/proxy/proxyPlane.ts';
import type { SocketAddress } from '../../src/dns/address.ts';
import { systemClock } from '../../src/timing/clock.ts';
import { backend, CARRIERS, type CarrierName, ON_LOOPBACK, setOf } from './proxyScene.ts';

interface Measured {
  /** Memory of the process after a garbage collection. */
  readonly residentOctets: number;
  /** Octets that it has passed to clients. */
  readonly octets: number;
}

export interface ProxyProcess extends SocketAddress {
  measure(): Promise<Measured>;
}

/** Starts a proxy that leads to one backend. */
export async function startProxyProcess(
  t: TestContext,
  carrierName: CarrierName,
  to: SocketAddress,
): Promise<ProxyProcess> {
  const child = fork(fileURLToPath(import.meta.url), [carrierName, to.address, `${to.port}`], {
    execArgv: [...process.execArgv.filter((arg) => !arg.startsWith('--test')), '--expose-gc'],
  });
  t.after(() => child.kill('SIGKILL'));
  const [at] = await once(child, 'message');
  return {
    ...(at as SocketAddress),
    measure: async () => {
      const answer = once(child, 'message');
      child.send('measure');
      const [measured] = await answer;
      return measured as Measured;
    },
  };
}

async function run([carrierName, address = '', port]: readonly string[]): Promise<void> {
  const carrier = CARRIERS[carrierName as CarrierName](systemClock);
  const plane = new ProxyPlane({
    balance: 'random',
    drainSeconds: 30,
    connectTimeoutSeconds: 2,
    maxConnections: 10_000,
    maxPerSource: 10_000,
    proxyProtocol: false,
    udpIdleSeconds: 60,
    clock: systemClock,
    random: Math.random,
    onEvent: () => {},
    carrier,
  });
  const backends = setOf(backend({ address, port: Number(port) }));
  const outcome = await plane.open(ON_LOOPBACK, () => ({
    label: 'route',
    backends,
    isStatic: true,
  }));
  if (outcome.kind !== 'opened') throw new Error(JSON.stringify(outcome));
  process.on('message', () => {
    globalThis.gc?.();
    process.send?.({
      residentOctets: process.memoryUsage().rss,
      octets: carrier.octets.toClients,
    } satisfies Measured);
  });
  process.on('disconnect', () => process.exit());
  process.send?.(outcome.listener.addresses[0]);
}

if (process.send !== undefined && process.argv[1] === fileURLToPath(import.meta.url))
  await run(process.argv.slice(2));
