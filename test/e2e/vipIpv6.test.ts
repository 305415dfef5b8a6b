/** Virtual IPv6 addresses on a real Docker that isolates its bridges with ip6tables. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { useDockerd } from '../support/dockerTest.ts';
import { output } from '../support/engineCommands.ts';
import { environment } from '../support/hostCleaner.ts';
import { cellsOn, engineOf } from '../support/singleAmbassador.ts';

const ipv6 = { ipv6: true, 'fixed-cidr-v6': 'fd97:1::/64' };
const docker = useDockerd({
  images: ['peer'],
  config: { ...ipv6, experimental: true, ip6tables: true },
});

for (const rules of [0, 1])
  test(
    `Every kind of consumer of a host reaches a virtual IPv6 address, with br_netfilter ${rules}`,
    docker.options,
    docker.on(async (dockerd) => {
      const setting = `net.bridge.bridge-nf-call-ip6tables=${rules}`;
      await output(dockerd.onHost('sysctl', '-qw', setting), environment());
      // Programs of the host need a route to the address.
      await output(
        dockerd.onHost('ip', '-6', 'route', 'replace', 'default', 'dev', 'eth0'),
        environment(),
      );
      const range = ['--vip-range6', 'fd99::/64', '--register-ip', dockerd.address6];
      const network = ['--ipv6', '--subnet', 'fd97:2::/64'];
      const cells = await cellsOn(engineOf(dockerd), { options: range, type: 'AAAA', network });
      const web = 'web';
      assert.deepEqual(cells, {
        ...{ same: web, itself: web, other: web, program: web },
        plain: 'Operation in progress',
      });
    }),
  );
