/** Stand-ins for the public images that the pages run, on an engine that has the image `bb` and no registry. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Dockerd } from './dockerd.ts';

/** What the stand-in for nginx serves at port 80; the beginning of nginx's own page. */
export const NGINX_PAGE = 'Welcome to nginx!';

const DOCKERFILES = {
  nginx: `FROM bb
RUN mkdir /srv && echo '<h1>${NGINX_PAGE}</h1>' > /srv/index.html
EXPOSE 80
CMD ["httpd", "-f", "-p", "80", "-h", "/srv"]`,
  redis: `FROM bb
EXPOSE 6379
CMD ["httpd", "-f", "-p", "6379", "-h", "/"]`,
  alpine: 'FROM bb',
} as const;

export async function standInForPublicImages(dockerd: Dockerd): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'soradns-images-'));
  const env = { ...process.env, DOCKER_HOST: dockerd.host, DOCKER_BUILDKIT: '0' };
  try {
    for (const [image, dockerfile] of Object.entries(DOCKERFILES)) {
      writeFileSync(join(folder, 'Dockerfile'), dockerfile);
      await promisify(execFile)('docker', ['build', '--tag', image, folder], { env });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
