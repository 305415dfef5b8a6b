/** Containers reach services of other hosts through their links, on real Docker hosts. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { connectOften, serveFlows, watchFlow } from '../support/flows.ts';
import { useHosts } from '../support/hosts.ts';
import { assertOwnLinks } from '../support/linkedConsumers.ts';
import { until } from '../support/until.ts';

for (const plane of ['proxy']) {
  const hosts = useHosts({ options: ['--ambassador', '--ambassador-plane', plane] });

  test(
    `Two consumers with links of one port reach different services through the plane ${plane}, and one without is refused`,
    hosts.options,
    hosts.on(assertOwnLinks),
  );

  test(
    `A consumer with DNS_LINK_LOCAL reaches its service at 127.0.0.1 after each start, over TCP and UDP, through the plane ${plane}`,
    hosts.options,
    hosts.on(async ({ a, b }) => {
      const names = { DNS_NAME: '1.red.skydns.local', DNS_6379_UDP_NAME: '1.udp.skydns.local' };
      await serveFlows(b, { text: 'red', ports: [6379], env: names });
      const env = {
        DNS_LINK_6379: 'red.skydns.local',
        DNS_LINK_6379_UDP: 'udp.skydns.local:6379',
        DNS_LINK_LOCAL: 'true',
      };
      await a.dockerd.docker('network', 'create', 'own');
      for (const network of ['bridge', 'own']) {
        const id = await a.dockerd.run({ image: 'peer', env, network });
        const place = { kind: 'exec', id } as const;
        const connect = () => connectOften(a, place, ['127.0.0.1', 6379], { count: 20 });
        const isLinked = async () => (await connect()).replies.red === 20;
        await until(`${network}: it reaches red`, isLinked, 20_000);
        const options = { everyMs: 50, seconds: 2 };
        const flow = watchFlow(a, place, 'datagrams', ['127.0.0.1', 6379], options);
        await flow.saw('a datagram is answered', ({ reply = '' }) => reply.startsWith('red '));
        await flow.ended();
        await a.dockerd.docker('restart', '--time', '0', id);
        await until(`${network}: it reaches red again`, isLinked, 20_000);
      }
      const plain = await a.dockerd.run({
        image: 'peer',
        env: { DNS_LINK_6379: 'red.skydns.local' },
      });
      const refused = connectOften(a, { kind: 'exec', id: plain }, ['127.0.0.1', 6379], {
        count: 3,
      });
      assert.equal((await refused).failed, 3);
    }),
  );

  test(
    `A link leads to a port that its provider did not publish on the provider's network alone, through the plane ${plane}`,
    hosts.options,
    hosts.on(async ({ a }) => {
      await a.dockerd.docker('network', 'create', 'own');
      const hidden = { DNS_NAME: '1.hidden.skydns.local', DNS_MODE: 'internal', DNS_PORT: '6379' };
      await serveFlows(a, {
        text: 'hidden',
        ports: [6379],
        publish: [],
        network: 'own',
        env: hidden,
      });
      const consumer = async (network: string) => {
        const env = { DNS_LINK_6379: 'hidden.skydns.local' };
        const args = ['--dns', a.bridge];
        const id = await a.dockerd.run({ image: 'peer', env, network, args });
        const place = { kind: 'exec', id } as const;
        const target = ['ambassador.dns.skydns.local', 6379] as const;
        return () => connectOften(a, place, target, { count: 3 });
      };
      const [near, far] = [await consumer('own'), await consumer('bridge')];
      await until('the neighbour reaches it', async () => (await near()).replies.hidden === 3);
      const { replies, failed } = await far();
      assert.deepEqual([replies, failed], [{}, 3]);
    }),
  );
}
