/**
 * The sessions of the pages that need Docker, on a Docker host of their own. Each page starts without containers and
 * names.
 */
import test from 'node:test';
import { useDockerd } from '../support/dockerTest.ts';
import { PageReader } from '../support/pageReader.ts';
import { allPages, blocksOf } from '../support/pages.ts';
import { standInForPublicImages } from '../support/publicImages.ts';
import { standInForEtcd } from '../support/standIns.ts';

const docker = useDockerd();
let hasImages = false;

for (const { path, text } of allPages()) {
  const blocks = blocksOf(text);
  if (!blocks.some(({ attributes }) => attributes.get('on') === 'docker')) continue;
  test(
    `Every session of ${path} that needs Docker prints what the page shows`,
    docker.options,
    docker.on(async (dockerd) => {
      if (!hasImages) await standInForPublicImages(dockerd);
      hasImages = true;
      const etcd = /\S+\/etcd:v\S+/.exec(text)?.[0];
      if (etcd !== undefined) await standInForEtcd(dockerd.cli, etcd);
      const reader = new PageReader(new Map([['docker', dockerd]]));
      try {
        for (const block of blocks) await reader.follow(path, block);
      } finally {
        await reader.leave();
      }
    }),
  );
}
