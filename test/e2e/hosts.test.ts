/** The whole point: containers of several hosts find each other by name and connect, however they ask. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Host } from '../support/hosts.ts';
import { useHosts } from '../support/hosts.ts';

const hosts = useHosts();
const NAME = '1.rails.production.east.skydns.local';

function serve(host: Host, name: string, port: number): Promise<string> {
  return host.dockerd.run({
    image: 'peer',
    env: { DNS_NAME: name },
    publish: [`${port}:8080`],
    command: ['peer-musl', 'serve', '8080', `${host.name} got`],
  });
}

test(
  'a container on A finds and connects to one on B',
  hosts.options,
  hosts.on(async ({ a, b }) => {
    await serve(b, NAME, 8080);
    await new Promise((r) => setTimeout(r, 300));
    for (const libc of ['glibc', 'musl']) {
      const s = await a.inContainer({}, `peer-${libc}`, 'srv', NAME, 'hello');
      assert.equal(s, `${b.address} 8080 b got hello`);
    }
  }),
);
