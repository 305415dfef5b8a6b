/** What dockerode loads. Other tests use it with real engines. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import test from 'node:test';
import { promisify } from 'node:util';

const SOURCE = new URL('../../../src/registrar/engine/createDocker.ts', import.meta.url).href;

test('A registrar’s client of Docker loads neither an SSH client nor gRPC', async () => {
  const script = `import { createRequire } from 'node:module';
    import { createDocker } from ${JSON.stringify(SOURCE)};
    createDocker({ kind: 'unix', path: '/none' }, undefined);
    const { cache } = createRequire(import.meta.url);
    const inPackage = /.*\\/node_modules\\/((?:@[^/]+\\/)?[^/]+)/;
    const packages = Object.keys(cache).flatMap((path) => inPackage.exec(path)?.[1] ?? []);
    console.log(JSON.stringify([...new Set(packages)]));`;
  const args = ['--import', 'tsx', '--input-type=module', '--eval', script];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const packages: readonly string[] = JSON.parse(stdout);
  assert.ok(packages.includes('dockerode'), stdout);
  assert.ok(packages.includes('docker-modem'), stdout);
  for (const name of ['ssh2', '@grpc/grpc-js', 'protobufjs'])
    assert.ok(!packages.includes(name), name);
});
