/** A low limit of open files: a command that cannot start says so, and HTTP clients leave enough files for DNS. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { parseSocketAddress } from '../../src/dns/address.ts';
import { MAIN, spawnCli } from '../support/cli.ts';
import { ON_FREE_PORTS, startCli } from '../support/cliProcess.ts';
import { dig } from '../support/dig.ts';
import { send } from '../support/httpRequest.ts';
import { startUpstream } from '../support/upstream.ts';

function withLimit(files: number): readonly [string, ...string[]] {
  return ['sh', '-c', `ulimit -n ${files}; exec "$@"`, 'sh', process.execPath, MAIN];
}

const skip = process.platform === 'linux' ? false : 'optional: only Linux reports the limit';

describe('open-file limit', { skip }, () => {
  for (const files of [64, 96]) {
    for (const command of ['serve', 'ls', 'version']) {
      it(`${command} with a limit of ${files} open files prints one line that names the limit it needs`, async () => {
        const { code, stdout, stderr } = await spawnCli([command], {}, withLimit(files));
        assert.equal(code, 1);
        assert.equal(stdout, '');
        assert.match(
          stderr,
          /^soradns: the open-file limit is \d+, but soradns needs 128 to start; raise it: ulimit -n 1024\n$/,
        );
      });
    }
  }

  it('The server forwards queries and serves /livez while HTTP clients try to use all open files', {
    timeout: 60_000,
  }, async () => {
    const records = Array.from({ length: 60 }, (_, n) => `w${n}.example.org. 60 A 192.0.2.80`);
    const upstream = await startUpstream({ records });
    const ports = ON_FREE_PORTS.filter((option) => option !== '--no-rec');
    const options = ['--store', 'memory:', '--nameservers', `127.0.0.1:${upstream.port}`];
    const child = startCli(['serve', ...ports, ...options], {}, withLimit(160));
    const sockets: Socket[] = [];
    try {
      const { dns, http } = await child.logged('serving');
      const [address = ''] = dns as string[];
      const server = parseSocketAddress(address) ?? assert.fail();
      const port = Number(String(http).split(':')[1]);
      for (let n = 0; n < 300; n++) {
        const socket = connect(port, '127.0.0.1');
        socket.on('error', () => undefined);
        sockets.push(socket);
        await once(socket, 'connect');
      }
      for (let n = 0; n < 60; n += 20) {
        const names = Array.from({ length: 20 }, (_, k) => `w${n + k}.example.org`);
        // Two digs at the same time may get the same port from the kernel, and then one of them gets both replies.
        const replies = await Promise.all(names.map((name) => dig(server, '+tries=3', name)));
        assert.deepEqual(new Set(replies.map(({ status }) => status)), new Set(['NOERROR']));
        assert.equal((await send(`http://${http}`, { path: '/livez' })).status, 200);
      }
      assert.ok(child.lines().some(({ msg }) => /^the open-file limit is low/.test(String(msg))));
    } finally {
      for (const socket of sockets) socket.destroy();
      await child.end('SIGTERM');
      await upstream.close();
    }
  });
});
