/** When a mounted socket counts as replaced, so that the process must be started again. */
import assert from 'node:assert/strict';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ReplacedSocket } from '../../../src/registrar/engine/replacedSocket.ts';
import { FakeClock } from '../../support/fakeClock.ts';
import { withTempDir } from '../../support/tempDir.ts';

const PATH = '/var/run/docker.sock';
const HEAD = 'Num       RefCount Protocol Flags    Type St Inode Path\n';
const line = (path: string, flags = '00010000') =>
  `0000000000000000: 00000002 00000000 ${flags} 0001 01 71234 ${path}\n`;
const DOCKER = line('/run/docker.sock');
const mount = (file: string, place: string) =>
  `36 35 0:24 ${file} ${place} ro,nosuid - tmpfs tmpfs rw\n`;

function start() {
  const clock = new FakeClock();
  const files = { links: 1 as number | undefined, table: HEAD, mounts: '' };
  const socket = new ReplacedSocket(PATH, clock, {
    links: () => files.links,
    realPath: (path) => path.replace('/var/run/', '/run/'),
    readProc: (path) => (path === '/proc/net/unix' ? files.table : files.mounts),
  });
  return { clock, files, socket };
}

describe('socket files', () => {
  it('A socket with a name, or a missing one, does not count as replaced, however long Docker is down', async () => {
    const { clock, files, socket } = start();
    for (const links of [1, undefined, 1]) {
      files.links = links;
      assert.equal(socket.isReplaced(), false);
      await clock.advance(3_600_000);
      assert.equal(socket.isReplaced(), false);
    }
  });

  it('A socket that cannot be read does not count as replaced', () =>
    withTempDir(async (dir) => {
      const path = join(dir, 'docker.sock');
      symlinkSync(path, path);
      const socket = new ReplacedSocket(path, new FakeClock());
      assert.deepEqual([socket.isReplaced(), socket.isUnlinked()], [false, false]);
    }));

  it('A socket without a name counts as replaced as soon as Docker listens again', async () => {
    const { clock, files, socket } = start();
    files.table = HEAD + DOCKER + line('/run/other.sock');
    socket.noteReached();
    files.links = 0;
    files.table = HEAD + line('/run/docker.sock', '00000000');
    assert.equal(socket.isReplaced(), false);
    await clock.advance(3_600_000);
    assert.equal(socket.isReplaced(), false, 'a new process could not reach Docker either');
    files.table = HEAD + DOCKER;
    assert.equal(socket.isReplaced(), true);
  });

  it('A socket is looked up by its path on the host', async () => {
    const { files, socket } = start();
    files.mounts = mount('/', '/') + mount('/run', '/run');
    assert.equal(socket.isMounted(), false);
    files.mounts += mount('/podman/podman.sock', '/run/docker.sock');
    assert.equal(socket.isMounted(), true);
    files.table = HEAD + line('/run/podman/podman.sock');
    socket.noteReached();
    files.links = 0;
    assert.equal(socket.isReplaced(), true);
  });

  for (const [why, table] of [
    ['where other namespaces cannot be seen', HEAD],
    ['where two sockets with its name listen', HEAD + DOCKER + line('/run/soradns/docker.sock')],
  ] as const)
    it(`A socket without a name counts as replaced after a while, ${why}`, async () => {
      const { clock, files, socket } = start();
      files.table = table;
      socket.noteReached();
      files.links = 0;
      assert.equal(socket.isReplaced(), false);
      await clock.advance(9_000);
      assert.equal(socket.isReplaced(), false);
      await clock.advance(1_000);
      assert.equal(socket.isReplaced(), true);
    });

  it('A socket that gets its name back restarts the wait', async () => {
    const { clock, files, socket } = start();
    files.links = 0;
    assert.equal(socket.isReplaced(), false);
    await clock.advance(9_000);
    files.links = 1;
    assert.equal(socket.isReplaced(), false);
    files.links = 0;
    await clock.advance(9_000);
    assert.equal(socket.isReplaced(), false);
  });
});
