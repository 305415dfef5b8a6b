/**
 * The findings of `doctor` about the server's addresses and Docker's settings, with real servers and with ports that
 * other programs really use.
 */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { printSocketAddress, type SocketAddress } from '../../../src/dns/address.ts';
import { judgeDocker } from '../../../src/tools/doctor/judge/docker.ts';
import type { Finding } from '../../../src/tools/doctor/judge/finding.ts';
import {
  judgePort,
  type PortHolder,
  usableEndpoint,
} from '../../../src/tools/doctor/judge/port.ts';
import { judgeRegistrar } from '../../../src/tools/doctor/judge/registrar.ts';
import { judgeHttpHolder } from '../../../src/tools/doctor/judge/server.ts';
import { DESIRED } from '../../support/desiredServer.ts';
import { examined, finding } from '../../support/examination.ts';
import { useFakeDocker } from '../../support/registrarProcesses.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';
import { until } from '../../support/until.ts';

let server: TestServer;
/** The fix for a port that another program uses. With `bridgeAddress` the host has Docker. */
function portFix(endpoint: SocketAddress, udp: PortHolder, bridgeAddress?: string): string {
  const facts = {
    endpoint,
    isOwnAddress: true,
    udp,
    tcp: undefined,
    answersForUs: false,
    isSoradns: false,
  };
  const place = usableEndpoint(facts, bridgeAddress) ?? assert.fail();
  const hasDocker = bridgeAddress !== undefined;
  return judgePort(facts, { ...DESIRED, endpoints: [place], hasDocker, bridgeAddress }).fix ?? '';
}

before(async () => {
  server = await startTestServer({});
});
after(() => server.close());

const levels = (found: readonly Finding[]) => found.map(({ level }) => level);
const at = (address: { address: string; port: number }) => ({ addr: printSocketAddress(address) });

describe('a working server', () => {
  it('doctor finds that a working server has its port, answers over UDP and TCP, and is ready', async () => {
    const http = printSocketAddress(server.http ?? assert.fail());
    const flags = { ...at(server.dns), http };
    const [port] = await examined({ flags }, 'port');
    assert.match(port?.message ?? '', /is used by .*pid \d+\), which answers for the domain$/);
    const found = await examined({ flags }, 'server');
    assert.deepEqual(levels(found), ['ok', 'ok']);
    assert.match(
      found[0]?.message ?? '',
      /answers for skydns\.local\. over UDP and TCP in [\d.]+ ms/,
    );
    assert.match(found[1]?.message ?? '', /ready/);
  });
});

describe('a failing server', () => {
  it('doctor reports that no server answers, and its fix starts a server', async () => {
    const flags = { addr: '127.0.0.1:1', domain: 'a.example' };
    const { level, message, fix } = await finding({ flags }, 'server');
    assert.equal(level, 'problem');
    assert.match(message, /nothing answers at 127\.0\.0\.1:1/);
    assert.match(fix ?? '', /^sudo soradns serve --addr 127\.0\.0\.1:1 --domain a\.example /);
    assert.match((await finding({ flags }, 'port')).message, /is free/);
  });

  it('doctor reports a server that does not serve the domain', async () => {
    const flags = { ...at(server.dns), domain: 'other.example' };
    const { level, message } = await finding({ flags }, 'server');
    assert.equal(level, 'problem');
    assert.match(message, /does not serve other\.example\./);
  });

  it('doctor reports a server that has not read its store, with the reason from the server’s readiness', async () => {
    const waiting = await startTestServer({ store: 'etcd://127.0.0.1:1' }, { awaitReady: false });
    try {
      await until('the server has tried to read its store', () =>
        /ECONNREFUSED/.test(waiting.readiness().join()),
      );
      const http = printSocketAddress(waiting.http ?? assert.fail());
      const found = await examined({ flags: { ...at(waiting.dns), http } }, 'server');
      assert.deepEqual(levels(found), ['problem', 'problem']);
      assert.match(found[0]?.message ?? '', /has not read its store/);
      assert.match(found[1]?.message ?? '', /^not ready: store: .*ECONNREFUSED/);
    } finally {
      await waiting.close();
    }
  });

  it('doctor reports another program on the server’s port', async () => {
    const other = createSocket('udp4');
    other.bind(0, '127.0.0.1');
    await once(other, 'listening');
    try {
      const { port } = other.address();
      const held = await finding({ flags: { addr: `127.0.0.1:${port}` } }, 'port');
      assert.equal(held.level, 'problem');
      assert.match(held.message, new RegExp(`is used by node \\(pid ${process.pid}\\)`));
      assert.match(held.fix ?? '', new RegExp(`--addr 127.0.0.1:5300 .*kill ${process.pid}`));
      const wild = await finding({ flags: { addr: `0.0.0.0:${port}` } }, 'port');
      assert.equal(wild.level, 'problem');
    } finally {
      other.close();
    }
  });

  it('doctor reports a server address that no interface has', async () => {
    const { level, message } = await finding({ flags: { addr: '192.0.2.53:53' } }, 'port');
    assert.equal(level, 'problem');
    assert.match(message, /192\.0\.2\.53 is not an address of this host/);
  });

  it('doctor reports that another program answers on the HTTP address', async () => {
    const other = createServer((_, response) => response.end('hello'));
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    try {
      const { port } = other.address() as AddressInfo;
      const found = await examined({ flags: { http: `127.0.0.1:${port}` } }, 'server');
      assert.match(found.at(-1)?.message ?? '', /another program answers there/);
    } finally {
      other.close();
    }
  });

  it('doctor reports that HTTP and DNS belong to different processes', () => {
    const endpoint = { address: '172.17.0.1', port: 53 };
    const held = (pid: number, command = 'node') => ({ holder: { pid, command } });
    const judge = (dns: PortHolder, http: PortHolder) => {
      const whose = { isOwnAddress: true, answersForUs: true, isSoradns: true };
      const ports = [{ endpoint, udp: dns, tcp: dns, ...whose }];
      return judgeHttpHolder('http://127.0.0.1:4001', http.holder, ports);
    };
    const [found] = judge(held(7), held(8));
    assert.equal(found?.level, 'warning');
    assert.match(
      found?.message ?? '',
      /4001 belongs to another process \(pid 8\) than .*\(pid 7\)$/,
    );
    assert.deepEqual(judge(held(7), held(7)), []);
    assert.deepEqual(judge(held(1, 'systemd'), held(8)), []);
    assert.deepEqual(judge(held(7, 'docker-proxy'), held(8, 'docker-proxy')), []);
    assert.deepEqual(judge(held(7), { holder: undefined }), []);
  });

  it('doctor gives specific advice for a well-known program on the port', () => {
    const endpoint = { address: '127.0.0.1', port: 53 };
    const fixFor = (command: string) => portFix(endpoint, { holder: { pid: 7, command } });
    assert.match(fixFor('dnsmasq'), /integrate dnsmasq --addr 127\.0\.0\.1:5300/);
    const wildcard = { address: '0.0.0.0', port: 53 };
    const resolved = { holder: { pid: 7, command: 'systemd-resolve' } };
    assert.match(portFix(wildcard, resolved, '172.17.0.1'), /^sudo soradns up +#/);
    assert.match(portFix(wildcard, resolved), /^sudo soradns serve --addr 127\.0\.0\.1:53 +#/);
  });
});

describe('Docker', () => {
  // Port 53 of an otherwise unused address stands for port 53 of the bridge.
  const bridge = '127.53.17.1';
  const daemon = (settings: object) => ({ '/etc/docker/daemon.json': JSON.stringify(settings) });
  const isRoot = process.getuid?.() === 0;
  let there: TestServer | undefined;
  before(async () => {
    if (isRoot) there = await startTestServer({ addr: `${bridge}:53` });
  });
  after(() => there?.close());
  const skip = isRoot ? false : 'optional: needs port 53';

  it('doctor reports that Docker is not installed', async () => {
    assert.equal((await finding({}, 'docker')).message, 'this host has no Docker');
    assert.equal((await finding({}, 'registrar')).level, 'ok');
  });

  it('doctor reports that Docker is installed but does not run', async () => {
    const found = await finding({ files: { '/usr/bin/dockerd': '' } }, 'docker');
    assert.equal(found.level, 'warning');
    assert.match(found.message, /^\/usr\/bin\/dockerd is installed, but \S+ does not exist$/);
  });

  it('doctor warns that Docker’s containers do not use the server', { skip }, async () => {
    const found = await examined({ bridge }, 'docker');
    assert.deepEqual(levels(found), ['ok', 'warning']);
    assert.match(found[1]?.message ?? '', /daemon\.json sets no DNS server/);
    assert.equal(found[1]?.fix, `sudo soradns integrate docker --addr ${bridge}:53`);
  });

  it('doctor finds the server on Docker’s bridge without an option', { skip }, async () => {
    const found = await examined({ bridge, isDefault: true }, 'server');
    assert.deepEqual(levels(found), ['ok']);
    assert.match(found[0]?.message ?? '', /^127\.53\.17\.1:53 answers/);
  });

  it('doctor reports that containers cannot reach a server, as a problem only where --addr has the bridge’s address', async () => {
    const alone = { bridge: '127.53.17.2' };
    const elsewhere = await examined(alone, 'docker');
    assert.equal(elsewhere[0]?.level, 'warning');
    assert.equal(
      elsewhere[0]?.fix,
      'sudo soradns up --addr 127.0.0.1:1 --addr 127.53.17.2:53 --http off --store memory:',
    );
    const meant = await examined({ ...alone, flags: { addr: '127.53.17.2:53' } }, 'docker');
    assert.equal(meant[0]?.level, 'problem');
  });

  it('doctor reports that Docker’s dns setting names the container’s own loopback address', async () => {
    const found = await examined({ files: daemon({ dns: ['127.0.0.1'] }) }, 'docker');
    assert.match(
      found.find(({ level }) => level === 'problem')?.message ?? '',
      /the container itself/,
    );
  });

  it('doctor reports whether Docker’s dns setting names the server', () => {
    const judge = (dns: readonly string[]) =>
      judgeDocker(
        {
          hasEngine: true,
          program: undefined,
          bridgeAddress: '172.17.0.1',
          daemonJson: JSON.stringify({ dns }),
          answersAt: new Map([['172.17.0.1', true]]),
        },
        DESIRED.endpoints,
        DESIRED,
      );
    assert.deepEqual(levels(judge(['192.0.2.1', '172.17.0.1'])), ['ok', 'ok']);
    assert.deepEqual(levels(judge(['192.0.2.1'])), ['ok', 'warning']);
    assert.match(
      judge(['192.0.2.1'])[1]?.message ?? '',
      /query 192\.0\.2\.1, which does not serve the domain/,
    );
  });

  it('doctor reports an invalid daemon.json', async () => {
    for (const text of ['{', '[]', 'null']) {
      const { level, message } = await finding(
        { files: { '/etc/docker/daemon.json': text } },
        'docker',
      );
      assert.equal(level, 'problem');
      assert.match(message, /not JSON/);
    }
  });

  it('doctor warns that search domains do not work on Alpine without the right ndots', async () => {
    const search = { 'dns-search': ['skydns.local'] };
    const warned = await examined({ files: daemon(search) }, 'docker');
    assert.match(warned.at(-1)?.message ?? '', /musl/);
    const better = await examined(
      { files: daemon({ ...search, 'dns-opts': ['ndots:1'] }) },
      'docker',
    );
    assert.doesNotMatch(better.at(-1)?.message ?? '', /musl/);
  });
});

describe('the registrar', () => {
  const fixture = useFakeDocker();

  it('doctor warns about a missing registrar where Docker runs', async () => {
    const patient = { files: { '/etc/docker/daemon.json': '{}' } };
    const { level, fix } = await finding(patient, 'registrar');
    assert.equal(level, 'warning');
    assert.match(fix ?? '', /^sudo soradns up --addr 127\.0\.0\.1:1 /);
  });

  it('doctor reports the host for which a standby registrar waits, and the registrar’s warnings with their fixes', () => {
    const [ready, clone, ...others] = judgeRegistrar(
      {
        ...{ kind: 'running', role: 'standby', holder: 'vm1', reasons: [] },
        ...{ published: 3, left: 0 },
        found: [{ message: 'two Docker engines have the same id', fix: 'sudo rm -f X' }],
      },
      DESIRED,
    );
    assert.deepEqual(others, []);
    assert.deepEqual(ready, {
      check: 'registrar',
      level: 'ok',
      message: 'the registrar is ready (standby for vm1), 3 records in DNS',
    });
    assert.deepEqual([clone?.level, clone?.fix], ['warning', 'sudo rm -f X']);
  });

  it('doctor reports whether the registrar is ready, the reason if it is not, and refused containers', async () => {
    fixture.docker.run({ name: 'web', env: { DNS_NAME: '*.skydns.local' }, publish: ['8080:80'] });
    const addresses = ['--addr', '127.0.0.1:0', '--http', '127.0.0.1:0'];
    const child = fixture.start(['serve', '--register', '--store', 'memory:', ...addresses]);
    const http = String((await child.logged('serving')).http);
    const look = () => examined({ flags: { http } }, 'registrar');
    await until('it is ready', async () => (await look())[0]?.level === 'ok', 20_000);
    await until('the refusal shows', async () => (await look())[1]?.level === 'warning');
    assert.match(
      (await look())[1]?.message ?? '',
      /^1 names or settings of containers are not in effect/,
    );
    const mixed = await examined({ flags: { ...at(server.dns), http } }, 'server');
    assert.match(mixed.at(-1)?.message ?? '', /belongs to another process/);
    await fixture.docker.close();
    await until('the loss shows', async () => (await look())[0]?.level === 'problem', 20_000);
    assert.match((await look())[0]?.message ?? '', /^the registrar is not ready: docker/);
    assert.equal(await child.end(), 0);
  });
});
