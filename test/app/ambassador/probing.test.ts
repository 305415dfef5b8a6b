/** Which backends the probes of a host connect to, and which serve. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { RouteTable } from '../../../src/ambassador/follow/routeTable.ts';
import type { KernelRoute } from '../../../src/ambassador/nft/kernelRoute.ts';
import type { NftPlane } from '../../../src/ambassador/nft/nftPlane.ts';
import type { Backend } from '../../../src/ambassador/route.ts';
import { KernelHostPlane } from '../../../src/app/ambassador/kernelHostPlane.ts';
import { probesOf, reachProbed } from '../../../src/app/ambassador/probing.ts';
import { settingsOfVip } from '../../../src/tools/doctor/ambassador/startWords.ts';
import { ChangingZone } from '../../support/followedZone.ts';
import { virtual } from '../../support/kernelTableScene.ts';
import { name } from '../../support/zone.ts';

const DOWN = '10.0.0.1';

for (const other of ['fd00::7', '127.0.0.1', '169.254.169.254'])
  test(`A backend at ${other} is not probed, and leaves a failed IPv4 backend serving`, async () => {
    const zone = new ChangingZone();
    zone.write({
      'local/skydns/web/1': { host: DOWN, port: 80 },
      'local/skydns/web/2': { host: other, port: 80 },
    });
    const set: KernelRoute[] = [];
    const nft: Partial<NftPlane> = {
      formerSlots: () => undefined,
      set: (route) => void set.push(route),
    };
    const plane = new KernelHostPlane(nft as NftPlane, settingsOfVip(), new Set());
    const probedAddresses = new Set<string>();
    const connect = async ({ address }: { address: string }): Promise<boolean> => {
      probedAddresses.add(address);
      return address !== DOWN;
    };
    const reach = (backends: readonly Backend[]) => backends;
    const probed = { plane, reach, connect, clock: zone.clock, table: () => table };
    const probes = probesOf(1, probed);
    const table: RouteTable = new RouteTable({
      ...{ plane, follower: zone.follower, prefix: '/skydns/', reach: reachProbed(probes, probed) },
    });
    const target = { kind: 'service', name: name('web.skydns.local'), port: undefined } as const;
    table.setRoutes('vip', [
      { match: virtual('198.18.0.1', 80, 'tcp'), target, origin: 'test', sinceMs: 0 },
    ]);
    probes?.start();
    await zone.clock.advance(5_000);
    probes?.close();
    assert.deepEqual([...probedAddresses], [DOWN]);
    assert.deepEqual(new Set(set.at(-1)?.slots.map(({ address }) => address)), new Set([DOWN]));
  });
