/** Containers reach services at virtual addresses, on real Docker hosts. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { type ClientPlace, connectOften, serveFlows } from '../support/flows.ts';
import type { Host } from '../support/host.ts';
import { useHosts } from '../support/hosts.ts';
import { virtualAddress } from '../support/virtualAddress.ts';

const hosts = useHosts({ options: ['--vip'] });
const WEB = 'web.production.east.skydns.local';

/** Starts an instance of the service on a host; its port there is 80. */
function serveWeb(host: Host, instance: string, args: readonly string[] = []) {
  return serveFlows(host, {
    text: `${host.name}${instance}`,
    ports: [80],
    env: { DNS_NAME: `${host.name}${instance}.${WEB}`, DNS_VIP: 'auto' },
    args,
  });
}

test(
  'Containers on every host reach instances on every host at one address and the container’s own port',
  hosts.options,
  hosts.on(async ({ a, b, c }) => {
    for (const host of [a, b]) await serveWeb(host, '1');
    const addresses = await Promise.all([a, b, c].map((host) => virtualAddress(host, WEB)));
    assert.equal(new Set(addresses).size, 1, addresses.join());
    const place: ClientPlace = { kind: 'container' };
    for (const host of [a, b, c]) {
      const seen = await connectOften(host, place, [WEB, 80], { count: 100 });
      assert.equal(seen.failed, 0, `${host.name}: ${seen.error}`);
      assert.deepEqual(Object.keys(seen.replies).sort(), ['a1', 'b1'], host.name);
    }
  }),
);
