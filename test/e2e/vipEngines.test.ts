/** Virtual addresses on other engines than the installed Docker: Docker 28 with iptables and with nftables, and Podman. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { CROSSING_MARK } from '../../src/ambassador/nft/tableText.ts';
import type { Dockerd } from '../support/dockerd.ts';
import { compile } from '../support/dockerImages.ts';
import { useDockerd, usePodman } from '../support/dockerTest.ts';
import { output } from '../support/engineCommands.ts';
import { environment } from '../support/hostCleaner.ts';
import { provideNewerDebian } from '../support/newerDebian.ts';
import { type AmbassadorEngine, SingleAmbassador } from '../support/singleAmbassador.ts';

const debian = provideNewerDebian();
const folder = mkdtempSync(join(tmpdir(), 'soradns-flow-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function useNewer(env: Readonly<Record<string, string>>) {
  if (debian.kind !== 'there') return useDockerd({}, debian.reason);
  return useDockerd({ root: debian.root, images: ['peer'], env });
}

const engineOf = (dockerd: Dockerd): AmbassadorEngine => ({
  ...{ host: dockerd.host, address: dockerd.address },
  onHost: (...command) => dockerd.onHost(...command),
  run: (container) => dockerd.run(container),
  command: (...args) => dockerd.docker(...args),
});

interface Cells {
  readonly same: string;
  readonly itself: string;
  readonly other: string;
  readonly program: string;
  /** From another bridge to the container's own address, which Docker keeps apart. */
  readonly plain: string;
}

async function cellsOn(engine: AmbassadorEngine): Promise<Cells> {
  const ambassador = await SingleAmbassador.start(engine);
  try {
    await engine.command('network', 'create', 'other');
    const peer = (network?: string) =>
      engine.run({ image: 'peer', ...(network !== undefined && { network }) });
    const backend = await engine.run({
      ...{ image: 'peer', publish: ['80'], command: ['flow', 'serve', 'web', '80'] },
      env: { DNS_NAME: '1.web.skydns.local', DNS_VIP: 'auto' },
    });
    const [same, other] = [await peer(), await peer('other')];
    const vip = await ambassador.virtualAddress('web.skydns.local');
    const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}';
    const own = await engine.command('inspect', '--format', format, backend);
    const program = compile(folder, 'musl-gcc', 'flow', 'flow.c', '-static');
    const [toSame, toItself, toOther, toProgram, plain] = await Promise.all([
      ambassador.seen({ id: same }, vip),
      ambassador.seen({ id: backend }, vip),
      ambassador.seen({ id: other }, vip),
      ambassador.seen({ program }, vip),
      ambassador.seen({ id: other }, own),
    ]);
    return { same: toSame, itself: toItself, other: toOther, program: toProgram, plain };
  } finally {
    await ambassador.stop();
  }
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
test(
  'Docker with nftables: a virtual address is reached within a bridge, and across bridges once dockerd accepts the mark',
  nftables.options,
  nftables.on(async (dockerd) => {
    const web = 'web';
    const within = { same: web, itself: web, program: web, plain: 'Operation in progress' };
    assert.deepEqual(await cellsOn(engineOf(dockerd)), { ...within, other: within.plain });
    await dockerd.clear();
    // Docker 29 accepts the packets itself with the option --bridge-accept-fwmark 0x20000000/0x20000000.
    const mark = ['--mark', `${CROSSING_MARK}/${CROSSING_MARK}`];
    const rule = ['-I', 'FORWARD', '-m', 'mark', ...mark, '-j', 'ACCEPT'];
    await output(dockerd.onHost('iptables', ...rule), environment());
    assert.deepEqual(await cellsOn(engineOf(dockerd)), { ...within, other: web });
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
