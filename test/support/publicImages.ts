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
COPY redis-cli redis-serve /bin/
EXPOSE 6379
CMD ["nc", "-ll", "-p", "6379", "-e", "/bin/redis-serve"]`,
  alpine: 'FROM bb',
} as const;

/** The only command that the pages send to redis is PING. */
const PROGRAMS = {
  'redis-serve': `#!/bin/sh
while read -r line; do
  case "$line" in PING*) printf '+PONG\\r\\n' ;; esac
done
`,
  'redis-cli': `#!/bin/sh
host=127.0.0.1 port=6379
while getopts h:p: option; do
  case "$option" in h) host=$OPTARG ;; p) port=$OPTARG ;; esac
done
reply=$(echo PING | nc -w 5 "$host" "$port" 2>/dev/null | tr -d '\\r')
[ -n "$reply" ] || { echo "Could not connect to Redis at $host:$port: Connection refused"; exit 1; }
echo "\${reply#+}"
`,
} as const;

export async function standInForPublicImages(dockerd: Dockerd): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'soradns-images-'));
  const env = { ...process.env, DOCKER_HOST: dockerd.host, DOCKER_BUILDKIT: '0' };
  try {
    for (const [name, script] of Object.entries(PROGRAMS))
      writeFileSync(join(folder, name), script, { mode: 0o755 });
    for (const [image, dockerfile] of Object.entries(DOCKERFILES)) {
      writeFileSync(join(folder, 'Dockerfile'), dockerfile);
      await promisify(execFile)('docker', ['build', '--tag', image, folder], { env });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
