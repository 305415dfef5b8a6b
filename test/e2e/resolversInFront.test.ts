/**
 * Real resolvers and clients from public bug reports: musl's getaddrinfo, HAProxy's server-template, and dnsmasq and
 * unbound as forwarders in front of the server.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { openFileStore } from '../../src/store/file/fileStore.ts';
import { MAIN } from '../support/cli.ts';
import { type ClientNetwork, startClientNetwork } from '../support/clientNetwork.ts';
import { type CliProcess, startCli } from '../support/cliProcess.ts';
import { until } from '../support/until.ts';

const MIN_TTL_SECONDS = 2;
const SERVER = '127.0.0.1';
const DNSMASQ = '127.0.0.2';
const UNBOUND = '127.0.0.3';
/** An unbound to which the zone is delegated; it sends queries without RD. */
const STUB = '127.0.0.4';
const UPSTREAM = '127.0.0.9';

const SERVICES: Readonly<Record<string, unknown>> = {
  'dual/a': { host: '10.0.3.4' },
  'dual/b': { host: 'lb.outside.example' },
  'rails/1': { host: 'lb.outside.example', port: 8080 },
  'cn/1': { host: 'lb.outside.example', text: 'heritage=external-dns' },
  flip: { host: 'flip.up.example' },
  int: { host: 'four.skydns.local' },
  four: { host: '10.0.5.1' },
  'part/a': { host: '10.0.4.1' },
  'part/b': { host: 'slow.up.example' },
  alias: { host: 'www.outside.example' },
  ...Object.fromEntries(
    Array.from({ length: 60 }, (_, i) => [`many/i${i}`, { host: `10.1.0.${i + 1}`, port: 80 }]),
  ),
  ...Object.fromEntries(
    Array.from({ length: 60 }, (_, i) => [
      `many/_tcp/_http/i${i}`,
      { host: `10.1.1.${i + 1}`, port: 80 },
    ]),
  ),
};

const UP_SOA = `up.example. ${MIN_TTL_SECONDS} SOA ns.up.example. host.up.example. 1 2 3 4 ${MIN_TTL_SECONDS}`;
const RECORDS = [
  'lb.outside.example. 300 A 198.51.100.7',
  'lb.outside.example. 300 AAAA 2001:db8::7',
  'www.outside.example. 300 A 198.51.100.8',
  'slow.up.example. 60 A 198.51.100.9',
  UP_SOA,
];

const needsRoot = process.getuid?.() === 0 ? {} : { skip: 'optional: needs root' };

describe('resolvers and clients', needsRoot, () => {
  let network: ClientNetwork;
  let server: CliProcess;
  let serve: (records: readonly string[]) => void;

  before(async () => {
    network = await startClientNetwork();
    const stateFolder = join(network.folder, 'store');
    const store = await openFileStore(stateFolder);
    for (const [name, value] of Object.entries(SERVICES))
      await store.put(`/skydns/local/skydns/${name}`, Buffer.from(JSON.stringify(value)));
    await store.close();
    const script = fileURLToPath(new URL('../support/upstreamProcess.ts', import.meta.url));
    const upstream = network.start(process.execPath, '--import', 'tsx', script, UPSTREAM);
    serve = (records) => upstream.stdin?.write(`${JSON.stringify(records)}\n`);
    serve(RECORDS);
    server = startCli(
      [
        ...['serve', '--store', `file:${stateFolder}`, '--addr', `${SERVER}:53`],
        ...['--nameservers', UPSTREAM, '--min-ttl', String(MIN_TTL_SECONDS)],
        ...['--max-udp-size', '4096', '--lame-duck', '0'],
      ],
      { SORADNS_WORKERS: '1' },
      network.inside(process.execPath, MAIN),
    );
    await startResolvers(network);
    await network.answers({ address: UPSTREAM, port: 53 }, 'lb.outside.example');
    await server.logged('serving');
    for (const address of [SERVER, DNSMASQ, UNBOUND, STUB])
      await network.answers({ address, port: 53 }, 'four.skydns.local');
  });
  after(async () => {
    await server?.end('SIGKILL');
    await network?.stop();
  });

  it("musl's getaddrinfo, which does not use TCP, gets as many of 60 addresses as fit into 512 octets", async () => {
    const source = fileURLToPath(new URL('../support/gai.c', import.meta.url));
    const program = join(network.folder, 'gai');
    await network.call('musl-gcc', '-static', '-o', program, source);
    assert.equal((await network.call(program, 'many.skydns.local')).trim(), '29');
    assert.equal((await network.call(program, 'four.skydns.local')).trim(), '1');
  });

  for (const [payload, least] of [
    [512, 8],
    [8192, 60],
  ] as const) {
    it(`HAProxy with a payload size of ${payload} octets fills at least ${least} servers from 60 SRV records`, async () => {
      const socket = await startHaproxy(network, payload);
      const filled = async (): Promise<number> => filledServers(await serversState(socket));
      await until(`${least} servers have addresses`, async () => (await filled()) >= least);
    });
  }

  for (const [resolver, address] of [
    ['dnsmasq', DNSMASQ],
    ['unbound', UNBOUND],
  ] as const) {
    it(`A name with an address and an outside host keeps both through ${resolver} after an AAAA query`, async () => {
      assert.deepEqual(await network.dig(address, 'AAAA', 'dual.skydns.local'), ['2001:db8::7']);
      const addresses = await network.dig(address, 'A', 'dual.skydns.local');
      assert.deepEqual(addresses.sort(), ['10.0.3.4', '198.51.100.7']);
    });

    it(`A name with an outside host keeps its SRV or TXT record through ${resolver} after an A query`, async () => {
      assert.deepEqual(await network.dig(address, 'A', '1.rails.skydns.local'), ['198.51.100.7']);
      const srv = await network.dig(address, 'SRV', '1.rails.skydns.local');
      assert.deepEqual(srv, ['10 100 8080 lb.outside.example.']);
      assert.deepEqual(await network.dig(address, 'A', 'cn.skydns.local'), ['198.51.100.7']);
      const txt = await network.dig(address, 'TXT', 'cn.skydns.local');
      assert.deepEqual(txt, ['"heritage=external-dns"']);
    });

    it(`An alias whose target gets an address resolves through ${resolver} after the negative TTL`, async () => {
      const name = 'flip.skydns.local';
      const first = await network.dig(address, 'A', name);
      assert.ok(!first.includes('198.51.104.1'));
      serve([...RECORDS, 'flip.up.example. 60 A 198.51.104.1']);
      await sleep((2 * MIN_TTL_SECONDS + 1) * 1_000);
      assert.ok((await network.dig(address, 'A', name)).includes('198.51.104.1'));
      serve(RECORDS);
      // The upstream needs a moment to drop the address; the test of the next resolver starts without it.
      await sleep(100);
    });

    it(`An alias whose target has only an IPv4 address resolves through ${resolver} after an AAAA query`, async () => {
      assert.deepEqual(await network.dig(address, 'AAAA', 'int.skydns.local'), [
        'four.skydns.local.',
      ]);
      assert.deepEqual(await network.dig(address, 'A', 'int.skydns.local'), [
        'four.skydns.local.',
        '10.0.5.1',
      ]);
    });

    it(`An answer that left out a slow host is complete through ${resolver} after the minimum TTL`, async () => {
      const lookUp = (): Promise<string[]> => network.dig(address, 'A', 'part.skydns.local');
      const first = await lookUp();
      assert.ok(first.includes('10.0.4.1'));
      await sleep((MIN_TTL_SECONDS + 1) * 1_000);
      assert.deepEqual((await lookUp()).sort(), ['10.0.4.1', '198.51.100.9']);
    });
  }

  it('A resolver to which the zone is delegated follows aliases to outside names', async () => {
    assert.deepEqual(await network.dig(STUB, 'A', 'alias.skydns.local'), [
      'www.outside.example.',
      '198.51.100.8',
    ]);
    const rails = await network.dig(STUB, 'A', '1.rails.skydns.local');
    assert.ok(rails.includes('198.51.100.7'), rails.join(' '));
    await sleep((MIN_TTL_SECONDS + 1) * 1_000);
    assert.deepEqual(await network.dig(STUB, 'SRV', '1.rails.skydns.local'), [
      '10 100 8080 lb.outside.example.',
    ]);
  });
});

async function startResolvers(network: ClientNetwork): Promise<void> {
  network.start(
    ...['dnsmasq', '--keep-in-foreground', '--conf-file=/dev/null', '--no-hosts', '--no-resolv'],
    ...[`--listen-address=${DNSMASQ}`, '--bind-interfaces', `--server=${SERVER}`],
    ...['--user=root', `--pid-file=${join(network.folder, 'dnsmasq.pid')}`],
  );
  const forwarding = `forward-zone:\n  name: "."\n  forward-addr: ${SERVER}\n`;
  const delegated = `stub-zone:\n  name: "skydns.local"\n  stub-addr: ${SERVER}\nforward-zone:\n  name: "."\n  forward-addr: ${UPSTREAM}\n`;
  for (const [address, zones] of [
    [UNBOUND, forwarding],
    [STUB, delegated],
  ] as const) {
    const file = join(network.folder, `unbound-${address}.conf`);
    // With minimised names (RFC 9156) unbound sends an A query before each SRV query.
    const minimisation = `  qname-minimisation: ${address === STUB ? 'no' : 'yes'}\n`;
    await writeFile(file, unboundConfig(address) + minimisation + REMOTE_CONTROL + zones);
    network.start('unbound', '-d', '-c', file);
  }
}

function unboundConfig(address: string): string {
  return `server:
  interface: ${address}
  do-daemonize: no
  username: ""
  chroot: ""
  pidfile: ""
  use-syslog: no
  do-not-query-localhost: no
  module-config: "iterator"
  local-zone: "local." nodefault
`;
}

const REMOTE_CONTROL = `remote-control:
  control-enable: no
`;

async function startHaproxy(network: ClientNetwork, payload: number): Promise<string> {
  const socket = join(network.folder, `haproxy-${payload}.sock`);
  const file = join(network.folder, `haproxy-${payload}.cfg`);
  await writeFile(
    file,
    `global
  stats socket ${socket} mode 600 level admin
defaults
  timeout connect 1s
  timeout client 1s
  timeout server 1s
resolvers sora
  nameserver sora ${SERVER}:53
  accepted_payload_size ${payload}
  timeout resolve 1s
  timeout retry 1s
backend many
  server-template s 80 _http._tcp.many.skydns.local resolvers sora init-addr none
`,
  );
  network.start('haproxy', '-db', '-f', file);
  return socket;
}

/** HAProxy's state of the servers of backend `many`. */
function serversState(socket: string): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const connection = createConnection(socket);
    connection.on('error', () => resolve(''));
    connection.on('data', (chunk) => {
      text += chunk.toString();
    });
    connection.on('end', () => resolve(text));
    connection.write('show servers state many\n');
  });
}

function filledServers(state: string): number {
  return state.split('\n').filter((line) => /\s10\.1\.1\.\d+\s/.test(line)).length;
}
