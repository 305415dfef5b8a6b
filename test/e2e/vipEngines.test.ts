/** Virtual addresses on other engines than the installed Docker: Docker 28 with iptables and with nftables, and Podman. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { CROSSING_MARK } from '../../src/ambassador/nft/tableText.ts';
import { useDockerd, usePodman } from '../support/dockerTest.ts';
import { output } from '../support/engineCommands.ts';
import { environment } from '../support/hostCleaner.ts';
import { provideNewerDebian } from '../support/newerDebian.ts';
import { cellsOn, engineOf } from '../support/singleAmbassador.ts';

const debian = provideNewerDebian();

function useNewer(env: Readonly<Record<string, string>>) {
  if (debian.kind !== 'there') return useDockerd({}, debian.reason);
  return useDockerd({ root: debian.root, images: ['peer'], env });
}

const iptables = useNewer({});
test(
  'Docker 28: every consumer of a host reaches a virtual address, also across bridges, which stay apart otherwise',
  iptables.options,
  iptables.on(async (dockerd) => {
    const cells = await cellsOn(engineOf(dockerd));
    const web = 'web';
    assert.deepEqual(cells, {
      ...{ same: web, itself: web, other: web, program: web },
      plain: 'Operation in progress',
    });
  }),
);

const nftables = useNewer({ DOCKER_FIREWALL_BACKEND: 'nftables' });
/** As a base chain of Docker 29 would drop them, unless they have the mark of `--bridge-accept-fwmark`. */
const DOCKER_29 = `table ip docker-bridges {
  chain filter-FORWARD {
    type filter hook forward priority filter; policy accept;
    meta mark and ${CROSSING_MARK} == ${CROSSING_MARK} accept
    iifname "br-*" oifname "docker0" drop
  }
}`;

test(
  'The mark of packets that may cross is what Docker 29 with nftables can be told to accept',
  nftables.options,
  nftables.on(async (dockerd) => {
    await output(dockerd.onHost('nft', DOCKER_29), environment());
    const web = 'web';
    assert.deepEqual(await cellsOn(engineOf(dockerd)), {
      ...{ same: web, itself: web, other: web, program: web },
      plain: 'Operation in progress',
    });
  }),
);

const podman = usePodman(
  debian.kind === 'there' ? { root: debian.root, images: ['peer'] } : {},
  debian.kind === 'there' ? undefined : debian.reason,
);
test(
  'Podman 5: every consumer of a host reaches a virtual address; its networks are not kept apart',
  podman.options,
  podman.on(async (engine) => {
    const cells = await cellsOn({
      ...{ host: engine.host, address: engine.address },
      onHost: (...command) => engine.onHost(...command),
      run: (container) => engine.run(container),
      command: (...args) => engine.podman(...args),
    });
    const web = 'web';
    assert.deepEqual(cells, { same: web, itself: web, other: web, program: web, plain: web });
  }),
);
