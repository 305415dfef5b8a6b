/** The user of a connection's peer as the kernel shows it. No user can pass for another. */
import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import {
  type AcceptedConnection,
  inodeOf,
  peerOwner,
  seesOwners,
  trustedUsers,
} from '../../src/server/listening/peerOwner.ts';
import { NOBODY, noOtherUsers, startAs } from '../support/otherUser.ts';
import { until } from '../support/until.ts';

const skip = process.platform === 'linux' ? false : 'optional: only Linux has the tables';
const skipOthers = noOtherUsers ?? false;
const own = process.geteuid?.();

/** Accepts connections and reads nothing, so that it does not notice their end. */
async function whileListening(
  host: string,
  body: (server: Server, port: number) => Promise<void>,
): Promise<void> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    socket.on('error', () => undefined);
    sockets.add(socket);
  });
  server.listen(0, host);
  await once(server, 'listening');
  try {
    await body(server, (server.address() as AddressInfo).port);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

async function accepted(server: Server): Promise<AcceptedConnection> {
  const [socket] = (await once(server, 'connection')) as [Socket];
  const { localAddress = '', localPort = 0, remoteAddress = '', remotePort = 0 } = socket;
  return {
    local: { address: localAddress, port: localPort },
    remote: { address: remoteAddress, port: remotePort },
    inode: inodeOf(socket) ?? 0,
  };
}

/** Connects from a port, then executes the lines of its standard input. */
const CLIENT = `
import socket, struct, sys
family, host, port, own = sys.argv[1:]
s = socket.socket(getattr(socket, family), socket.SOCK_STREAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if own != '0': s.bind(('127.0.0.1', int(own)))
s.connect((host, int(port)))
print('connected', flush=True)
for line in sys.stdin:
    what = line.strip()
    if what == 'half': s.shutdown(socket.SHUT_WR)
    if what == 'close': s.close()
    if what == 'reset':
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        s.close()
    print('done', flush=True)
`;

class Client {
  readonly #child: ChildProcessWithoutNullStreams;
  constructor(uid: number, family: string, host: string, port: number, from = 0) {
    this.#child = startAs(uid, ['python3', '-c', CLIENT, family, host, `${port}`, `${from}`]);
  }
  async #said(word: string): Promise<void> {
    const [text] = (await once(this.#child.stdout, 'data')) as [Buffer];
    assert.equal(text.toString().trim(), word);
  }
  connected(): Promise<void> {
    return this.#said('connected');
  }
  async does(what: 'half' | 'close' | 'reset'): Promise<void> {
    this.#child.stdin.write(`${what}\n`);
    await this.#said('done');
  }
  end(): void {
    this.#child.kill('SIGKILL');
  }
}

describe('owners of connections', { skip }, () => {
  it('The server can see the owners of connections on this machine', async () => {
    assert.equal(await seesOwners(), true);
    assert.ok(trustedUsers().has(0));
  });

  const families = [
    ['127.0.0.1', 'AF_INET', '127.0.0.1'],
    ['0.0.0.0', 'AF_INET', '127.0.0.1'],
    ['::', 'AF_INET', '127.0.0.1'],
    ['::', 'AF_INET6', '::ffff:127.0.0.1'],
    ['::1', 'AF_INET6', '::1'],
  ] as const;
  for (const [listening, family, host] of families) {
    it(`peerOwner finds the user of a connection on ${listening}, by ${family} to ${host}`, async () => {
      await whileListening(listening, async (server, port) => {
        const mine = connect(port, host);
        assert.equal(await peerOwner(await accepted(server)), own);
        mine.destroy();
        if (skipOthers !== false) return;
        const client = new Client(NOBODY, family, host, port);
        assert.equal(await peerOwner(await accepted(server)), NOBODY);
        client.end();
      });
    });
  }

  it('peerOwner does not search for the owner of another host’s connection', async () => {
    const local = { address: '198.51.100.71', port: 4001 };
    const remote = { address: '198.51.100.72', port: 50_000 };
    assert.equal(await peerOwner({ local, remote, inode: 1 }), 'elsewhere');
  });

  it('peerOwner finds many owners at once with shared readings of the socket table', async () => {
    await whileListening('127.0.0.1', async (server, port) => {
      const all: Promise<AcceptedConnection>[] = [];
      const clients: Socket[] = [];
      for (let n = 0; n < 50; n++) {
        const next = accepted(server);
        clients.push(connect(port, '127.0.0.1'));
        all.push(next);
        await next;
      }
      const owners = await Promise.all((await Promise.all(all)).map(peerOwner));
      assert.deepEqual(new Set(owners), new Set([own]));
      for (const client of clients) client.destroy();
    });
  });
});

describe('impostors', { skip: skipOthers }, () => {
  it('Another user does not pass for root by shutting down its side', async () => {
    await whileListening('127.0.0.1', async (server, port) => {
      const client = new Client(NOBODY, 'AF_INET', '127.0.0.1', port);
      const connection = await accepted(server);
      await client.connected();
      await client.does('half');
      assert.equal(await peerOwner(connection), NOBODY);
      client.end();
    });
  });

  it('Another user does not pass for root by closing its socket, whose table row then names root', async () => {
    await whileListening('127.0.0.1', async (server, port) => {
      for (const how of ['close', 'reset'] as const) {
        const client = new Client(NOBODY, 'AF_INET', '127.0.0.1', port);
        const connection = await accepted(server);
        await client.connected();
        await client.does(how);
        assert.equal(await peerOwner(connection), 'unknown', how);
        client.end();
      }
    });
  });

  it('Another user does not pass for root by a reset after which root connects from the same port', async () => {
    await whileListening('127.0.0.1', async (server, port) => {
      const from = await freeLocalPort();
      const client = new Client(NOBODY, 'AF_INET', '127.0.0.1', port, from);
      const connection = await accepted(server);
      await client.connected();
      assert.equal(connection.remote.port, from);
      await client.does('reset');
      let root: Socket | undefined;
      await until('root is connected from there', async () => {
        root?.destroy();
        root = connect({ port, host: '127.0.0.1', localPort: from });
        return Promise.race([
          once(root, 'connect').then(() => true),
          once(root, 'close').then(() => false),
        ]).catch(() => false);
      });
      assert.equal(await peerOwner(connection), 'unknown');
      root?.destroy();
      client.end();
    });
  });
});

async function freeLocalPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

it('A user namespace that maps all strangers to one id does not make them trusted', (t) => {
  const inside = (...command: readonly string[]) =>
    spawnSync('unshare', ['--user', ...command], { encoding: 'utf8' });
  if (skip !== false || inside('true').status !== 0) {
    return t.skip('optional: no user namespaces can be made here');
  }
  const script =
    "import('./src/server/listening/peerOwner.ts').then((m) => console.log(...m.trustedUsers()))";
  const { stdout, stderr } = inside(process.execPath, '--import', 'tsx', '--eval', script);
  assert.equal(stdout, '0\n', stderr);
});
