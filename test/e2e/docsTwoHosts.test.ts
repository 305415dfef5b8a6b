/** The sessions of the pages that need two Docker hosts, `first` and `second`, which share a network. */
import test, { after } from 'node:test';
import { type Dockerd, startDockerd } from '../support/dockerd.ts';
import { useDockerd } from '../support/dockerTest.ts';
import { type Connection, type Lan, startLan } from '../support/hostNetwork.ts';
import { PageReader } from '../support/pageReader.ts';
import { allPages, blocksOf } from '../support/pages.ts';
import { standInForPublicImages } from '../support/publicImages.ts';
import { standInForEtcd, standInForSoradns } from '../support/standIns.ts';

let lan: Lan | undefined;
const connection =
  (number: number): Connection =>
  (name) => {
    lan ??= startLan();
    return lan.connection(number)(name);
  };
const docker = useDockerd({ connection: connection(11) });
after(() => lan?.stop());

for (const { path, text } of allPages()) {
  const blocks = blocksOf(text);
  if (!blocks.some(({ attributes }) => attributes.get('on') === 'second')) continue;
  test(
    `Every session of ${path} that needs two hosts prints what the page shows`,
    docker.options,
    docker.on(async (first) => {
      const second = await startDockerd({ connection: connection(12) });
      const hosts = new Map(Object.entries({ first, second }));
      const reader = new PageReader(hosts);
      try {
        const etcd = /\S+\/etcd:v\S+/.exec(text)?.[0];
        if (etcd !== undefined) await standInForEtcd(first.cli, etcd);
        await Promise.all([...hosts.values()].map(provideImages));
        for (const block of blocks) await reader.follow(path, block);
      } catch (error) {
        for (const [name, host] of hosts) console.log(`${name}: ${await serverLog(host)}`);
        throw error;
      } finally {
        await reader.leave();
        await second.stop();
      }
    }),
  );
}

async function provideImages(host: Dockerd): Promise<void> {
  await standInForPublicImages(host);
  await standInForSoradns(host.cli);
}

/** The end of the log of the page's server, if it runs in a container. */
function serverLog(host: Dockerd): Promise<string> {
  return host.docker('logs', '--tail', '40', 'soradns').catch(() => '');
}
