/** `ambassador check` on the hosts of real Docker daemons: what it warns of is so, and its fixes end it. */
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { type AmbassadorCheckSetup, checkedAmbassador } from '../../../support/ambassadorCheck.ts';
import type { Dockerd } from '../../../support/dockerd.ts';
import { useDockerd } from '../../../support/dockerTest.ts';
import { output } from '../../../support/engineCommands.ts';
import { environment } from '../../../support/hostCleaner.ts';
import { provideNewerDebian } from '../../../support/newerDebian.ts';

/** The check on the daemon's host. */
const checkOn = (dockerd: Dockerd, setup: AmbassadorCheckSetup = {}) =>
  checkedAmbassador({ by: dockerd.onHost(), dockerHost: dockerd.host, ...setup });

const onHost = (dockerd: Dockerd, ...command: readonly string[]) =>
  output(dockerd.onHost(...command), environment());

async function restart(dockerd: Dockerd): Promise<void> {
  await dockerd.terminate();
  await dockerd.start();
}

describe('Docker without its userland proxy', () => {
  const config = { 'userland-proxy': false, bip: '172.29.77.1/24' };
  const docker = useDockerd({ config });

  test(
    'A published port is not reached from another bridge, which the check says until its fix has run',
    docker.options,
    docker.on(async (dockerd) => {
      const serve = 'while :; do echo hi | nc -l -p 80; done';
      const asks = async () => {
        await dockerd.docker('network', 'create', 'other');
        await dockerd.run({ publish: ['18080:80'], command: ['sh', '-c', serve] });
        const ask = `nc -w 5 ${dockerd.address} 18080 </dev/null || echo silence`;
        return dockerd.docker('run', '--rm', '--network', 'other', 'bb', 'sh', '-c', ask);
      };
      const broken = await checkOn(dockerd);
      assert.match(broken.of('userland-proxy').join(), /^warning: dockerd runs without/);
      assert.equal(await asks(), 'silence');
      await dockerd.clear();

      const [sed = '', systemctl] = broken
        .fix('userland-proxy')
        .replaceAll('sudo ', '')
        .split(' && ');
      assert.equal(systemctl, 'systemctl restart docker');
      await onHost(dockerd, 'sh', '-c', sed);
      await restart(dockerd);
      const mended = await checkOn(dockerd);
      assert.match(mended.of('userland-proxy').join(), /^ok: /);
      assert.equal(await asks(), 'hi');
    }),
  );

  test(
    'A host without the chain DOCKER-USER is warned of until dockerd has made it again',
    docker.options,
    docker.on(async (dockerd) => {
      const well = await checkOn(dockerd);
      assert.match(well.of('isolation').join(), /^ok: .* on all bridges, by DOCKER-USER$/);
      for (const args of ['-D FORWARD -j DOCKER-USER', '-F DOCKER-USER', '-X DOCKER-USER'])
        await onHost(dockerd, 'iptables', ...args.split(' '));
      const broken = await checkOn(dockerd);
      assert.match(broken.of('isolation').join(), /^warning: the chain DOCKER-USER does not exist/);
      assert.match(broken.fix('isolation'), /^sudo systemctl restart docker /);
      await restart(dockerd);
      assert.match((await checkOn(dockerd)).of('isolation').join(), /^ok: /);
    }),
  );

  test(
    'A network of Docker in the range of virtual addresses is a problem, with or without a container in it',
    docker.options,
    docker.on(async (dockerd) => {
      await dockerd.docker('network', 'create', '--subnet', '198.18.5.0/24', 'taken');
      const { code, of } = await checkOn(dockerd);
      const clash = /^problem: --vip-range 198\.18\.0\.0\/16 overlaps .*\bbr-[0-9a-f]{12}\b/;
      assert.match(of('vip-range').join(), clash);
      assert.equal(code, 1);
      await dockerd.run({ network: 'taken' });
      assert.match((await checkOn(dockerd)).of('vip-range').join(), clash);
    }),
  );

  test(
    'A process in another network than the engine is warned of',
    docker.options,
    docker.on(async (dockerd) => {
      const here = await checkOn(dockerd);
      assert.deepEqual(here.of('namespace'), [
        "ok: the address of Docker's bridge, 172.29.77.1, is this host's",
      ]);
      const elsewhere = await checkOn(dockerd, { by: ['unshare', '--net'] });
      assert.match(elsewhere.of('namespace').join(), /^warning: 172\.29\.77\.1, .* is not in this/);
      assert.match(
        elsewhere.fix('namespace'),
        /^docker run -d --network host --cap-add NET_ADMIN /,
      );
    }),
  );
});

describe('Docker whose rules are written with nftables', () => {
  const debian = provideNewerDebian();
  const env = { DOCKER_FIREWALL_BACKEND: 'nftables' };
  const docker =
    debian.kind === 'there'
      ? useDockerd({ root: debian.root, env })
      : useDockerd({}, debian.reason);

  test(
    'The check warns that virtual addresses do not cross its bridges',
    docker.options,
    docker.on(async (dockerd) => {
      // The other system's files have no Node.
      const by = dockerd.onHost().filter((word) => word !== '--mount');
      const { of, fix } = await checkOn(dockerd, { by });
      assert.match(of('engine').join(), /^ok: the engine is Docker \d+\./);
      assert.match(of('isolation').join(), /^warning: dockerd writes its rules with nftables, /);
      assert.match(fix('isolation'), /^docker network connect /);
      await assert.rejects(onHost(dockerd, 'iptables', '-S', 'DOCKER-USER'));
    }),
  );
});
