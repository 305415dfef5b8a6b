/** The kernel plane without a server: many routes, and how long a change takes until it is in force. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { KernelMatch, KernelRoute } from '../../src/ambassador/nft/kernelRoute.ts';
import { type NftPlane, openNftPlane } from '../../src/ambassador/nft/nftPlane.ts';
import { systemClock } from '../../src/timing/clock.ts';
import { ECHO_PORT, type Scene } from './scene.ts';

const SLOTS = 16;
const BACKENDS = 3;
const VIP_PORT = 80;
const LOAD_TIMEOUT_MS = 120_000;

export interface OpenedPlane {
  readonly plane: NftPlane;
  /** Resolves when the released routes are in force. */
  inForce(): Promise<void>;
}

export async function openKernelPlane(): Promise<OpenedPlane> {
  let wake = (): void => {};
  const opened = await openNftPlane({
    forms: [{ family: 4, range: { address: '198.18.0.0', prefixLength: 16 }, balance: 'random' }],
    ...{ drainSeconds: 30, crossBridge: false, clock: systemClock },
    onState: () => wake(),
    onCorrected: (programs) => console.error(`another program changed the table: ${programs}`),
    onThreadLost: (error) => console.error(error),
  });
  if (opened.kind === 'unsupported') throw new Error(opened.reason);
  const { plane } = opened;
  const inForce = async (): Promise<void> => {
    const timeout = sleep(LOAD_TIMEOUT_MS, 'late', { ref: false });
    while (!plane.isInForce) {
      const woken = new Promise<string>((done) => {
        wake = () => done('woken');
      });
      if ((await Promise.race([woken, timeout])) === 'late')
        throw new Error(`the routes are not in force: ${plane.trouble}`);
    }
  };
  return { plane, inForce };
}

export function vipOf(service: number): string {
  return `198.18.${service >> 8}.${service & 255}`;
}

export function endOf(service: number): { readonly address: string; readonly port: number } {
  return { address: vipOf(service), port: VIP_PORT };
}

/**
 * A service with three backends. Those of `served` services are the scene's, which answer; the others have addresses
 * of their own. `version`: with the next one all slots have other backends.
 */
export function routeOf(
  scene: Scene,
  service: number,
  isServed: boolean,
  version = 0,
): KernelRoute {
  const match: KernelMatch = { kind: 'virtual', protocol: 'tcp', ...endOf(service) };
  const addressAt = (backend: number): string => {
    if (isServed) return scene.backends[backend % 2 === 0 ? 0 : 1].address;
    const number = service * BACKENDS + backend;
    return `10.${100 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`;
  };
  const slots = Array.from({ length: SLOTS }, (_, slot) => ({
    ...{ address: addressAt((slot + version) % BACKENDS), port: ECHO_PORT, isPrivate: false },
  }));
  return { match, slots };
}

const PAUSE_MS = 3;
const CHANGE_TIMEOUT_MS = 10_000;

/** Sets the route; returns the milliseconds from the call until the plane knows that the kernel has it. */
export async function changeInForce({ plane }: OpenedPlane, route: KernelRoute): Promise<number> {
  const { updateTimes } = plane;
  const updates = (): number => updateTimes.counts.reduce((sum, count) => sum + count, 0);
  const [updatesBefore, secondsBefore] = [updates(), updateTimes.seconds];
  const obstacle = plane.set(route);
  if (obstacle !== undefined) throw new Error(obstacle);
  const deadline = performance.now() + CHANGE_TIMEOUT_MS;
  while (updates() === updatesBefore) {
    if (performance.now() > deadline) throw new Error(`no update: ${plane.trouble}`);
    await sleep(PAUSE_MS);
  }
  return (updateTimes.seconds - secondsBefore) * 1000;
}
