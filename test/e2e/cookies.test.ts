/** DNS cookies and the rate limit of a whole server, beside servers of other makes. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseSocketAddress, type SocketAddress } from '../../src/dns/address.ts';
import { decodeMessage } from '../../src/dns/decode.ts';
import { OptionCode } from '../../src/dns/edns.ts';
import { Rcode } from '../../src/dns/rr.ts';
import { makeCertificates } from '../support/certificates.ts';
import { callCli } from '../support/cli.ts';
import { startCli } from '../support/cliProcess.ts';
import { isInstalled, type PeerName, startPeer } from '../support/cookiePeers.ts';
import { dig } from '../support/dig.ts';
import { freePort } from '../support/freePort.ts';
import { rawOpt, rawOption, rawPacket, rawQuestion, unhex } from '../support/packets.ts';
import { Exposition } from '../support/prometheus.ts';
import { connectTls } from '../support/secureServer.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';
import { openUdpClient } from '../support/udpClient.ts';
import { until } from '../support/until.ts';

const SECRET = 'e5e973e5a6b2a43f48e7dc849e37bfcf';
const CLIENT_COOKIE = '2464c4abcf10c957';
const PEERS: readonly PeerName[] = ['named', 'knotd', 'nsd'];

interface Serving {
  readonly dns: SocketAddress;
  readonly metric: (name: string, labels?: Readonly<Record<string, string>>) => Promise<number>;
  readonly folder: string;
  readonly reload: () => void;
}

async function serve(t: TestContext, args: readonly string[]): Promise<Serving> {
  const folder = await newTempDir();
  t.after(() => removeDir(folder));
  await writeFile(join(folder, 'secrets'), `${SECRET}\n`);
  const child = startCli([
    ...['serve', '--store', 'memory:', '--addr', '127.0.0.1:0', '--http', '127.0.0.1:0'],
    ...['--workers', '2', '--lame-duck', '0', '--http-writers', 'local'],
    ...args.map((word) => word.replace('FOLDER', folder)),
  ]);
  t.after(() => child.end('SIGKILL'));
  const { dns, http } = await child.logged('serving');
  const address = parseSocketAddress(String((dns as string[])[0]));
  assert.ok(address !== undefined);
  for (const [name, host] of [
    ['web', '10.0.0.1'],
    ['other', '10.0.0.2'],
  ] as const) {
    const store = `http://${http}`;
    const set = await callCli(['set', `${name}.skydns.local`, '--host', host, '--store', store]);
    assert.equal(set.code, 0, set.stderr);
  }
  return {
    dns: address,
    folder,
    reload: () => process.kill(child.pid, 'SIGHUP'),
    metric: async (name, labels) => {
      const page = await (await fetch(`http://${http}/metrics`)).text();
      return new Exposition(page).value(name, labels);
    },
  };
}

function packetWith(cookie: string, qname = 'web.skydns.local'): Buffer {
  const rdata = cookie === '' ? Buffer.of() : rawOption(OptionCode.COOKIE, unhex(cookie));
  return rawPacket({ counts: [1, 0, 0, 1], body: [rawQuestion(qname), rawOpt({ rdata })] });
}

/** The rcode of the reply to a query with the cookie, and the reply's cookie. */
async function askWith(t: TestContext, { port }: SocketAddress, cookie: string) {
  const client = await openUdpClient(t);
  const { reply } = await client.ask(port, '127.0.0.1', packetWith(cookie));
  const at = reply.indexOf(Buffer.of(0, OptionCode.COOKIE, 0, 24));
  assert.ok(at > 0, 'the reply has a cookie');
  return {
    rcode: decodeMessage(reply)?.rcode,
    cookie: reply.subarray(at + 4, at + 28).toString('hex'),
  };
}

describe('Cookies', () => {
  it('dig takes our cookie for good, sends it back, and gets one without a question', async (t) => {
    const { dns, metric } = await serve(t, ['--cookies']);
    const { text } = await dig(dns, `+cookie=${CLIENT_COOKIE}`, 'web.skydns.local');
    const [, cookie = ''] = /; COOKIE: ([0-9a-f]{48}) \(good\)/.exec(text) ?? [];
    assert.ok(cookie.startsWith(CLIENT_COOKIE), text);
    assert.match((await dig(dns, `+cookie=${cookie}`, 'web.skydns.local')).text, /\(good\)/);
    assert.equal(await metric('soradns_dns_cookies_total', { state: 'new' }), 1);
    assert.equal(await metric('soradns_dns_cookies_total', { state: 'valid' }), 1);
    const wrong = `${CLIENT_COOKIE}${'0'.repeat(32)}`;
    const other = await dig(dns, `+cookie=${wrong}`, 'web.skydns.local');
    assert.equal(other.status, 'NOERROR');
    assert.equal(await metric('soradns_dns_cookies_total', { state: 'invalid' }), 1);
    // RFC 7873 §5.4.
    for (const transport of ['+notcp', '+tcp']) {
      const bare = (...words: string[]) =>
        dig(dns, '+header-only', '+nobadcookie', transport, ...words);
      const first = await bare(`+cookie=${CLIENT_COOKIE}`);
      assert.match(first.text, /QUERY: 0, ANSWER: 0[\s\S]*COOKIE: [0-9a-f]{48} \(good\)/);
      assert.equal(first.status, 'NOERROR');
      assert.equal((await bare(`+cookie=${cookie}`)).status, 'NOERROR');
      assert.equal((await bare(`+cookie=${wrong}`)).status, 'BADCOOKIE');
      assert.equal((await bare('+nocookie', '+noedns')).status, 'FORMERR');
    }
  });

  it('A cookie that a client got over UDP is valid over TLS, without a file of secrets', async (t) => {
    const certificates = makeCertificates();
    t.after(() => certificates.remove());
    const dot = await freePort();
    const files = ['--server-cert', certificates.path('server.pem')];
    files.push('--server-key', certificates.path('server-key.pem'));
    const serving = await serve(t, ['--cookies', '--dot', `127.0.0.1:${dot}`, ...files]);
    const { cookie } = await askWith(t, serving.dns, CLIENT_COOKIE);
    const socket = await connectTls(t, dot, certificates);
    const packet = packetWith(cookie);
    socket.write(Buffer.concat([Buffer.of(0, packet.length), packet]));
    const [reply] = (await once(socket, 'data')) as [Buffer];
    assert.ok(reply.toString('hex').includes(cookie), 'a recent cookie is not replaced');
    assert.equal(await serving.metric('soradns_dns_cookies_total', { state: 'valid' }), 1);
    assert.equal(await serving.metric('soradns_dns_cookies_total', { state: 'invalid' }), 0);
  });

  for (const peer of PEERS) {
    const skip = !isInstalled(peer) && `${peer} is not installed`;
    it(`With one secret we accept the cookies of ${peer}, and it accepts ours`, {
      skip,
    }, async (t) => {
      const at = await startPeer(t, peer, { cookieSecret: SECRET });
      const { dns, metric } = await serve(t, [
        '--cookies',
        '--cookie-secret-file',
        'FOLDER/secrets',
      ]);
      const ours = (await askWith(t, dns, CLIENT_COOKIE)).cookie;
      const theirs = (await askWith(t, at, CLIENT_COOKIE)).cookie;
      const back = await askWith(t, dns, theirs);
      assert.equal(back.rcode, Rcode.NOERROR);
      assert.equal(await metric('soradns_dns_cookies_total', { state: 'valid' }), 1);
      assert.equal(back.cookie, theirs, 'a recent cookie is not replaced');
      const answered = await askWith(t, at, ours);
      assert.equal(answered.rcode, Rcode.NOERROR);
      if (peer === 'nsd') assert.equal(answered.cookie, ours);
      else {
        // These answer only a valid cookie, so the answer above shows that ours was.
        const wrong = `${ours.slice(0, -2)}${ours.endsWith('00') ? '01' : '00'}`;
        assert.equal((await askWith(t, at, wrong)).rcode, Rcode.BADCOOKIE);
      }
    });
  }

  it('A reload reads the secrets again: the old one still verifies, and the new one signs', async (t) => {
    const serving = await serve(t, ['--cookies', '--cookie-secret-file', 'FOLDER/secrets']);
    const { dns, metric, folder, reload } = serving;
    const before = (await askWith(t, dns, CLIENT_COOKIE)).cookie;
    await writeFile(join(folder, 'secrets'), `${'ab'.repeat(16)}\n${SECRET}\n`);
    reload();
    await until('the new secret signs', async () => {
      return (await askWith(t, dns, CLIENT_COOKIE)).cookie.slice(32) !== before.slice(32);
    });
    const valid = () => metric('soradns_dns_cookies_total', { state: 'valid' });
    const first = await valid();
    assert.equal((await askWith(t, dns, before)).rcode, Rcode.NOERROR);
    assert.equal((await valid()) - first, 1);
  });
});

/** The replies to `perSecond` questions a second in the last of a few seconds, by kind. */
async function flood(t: TestContext, { port }: SocketAddress, perSecond: number, seconds: number) {
  const client = await openUdpClient(t);
  const replies = { all: 0, answers: 0 };
  client.socket.on('message', (reply) => {
    replies.all++;
    if (((reply[2] as number) & 0x02) === 0) replies.answers++;
  });
  const packet = packetWith('');
  const beganMs = performance.now();
  let sent = 0;
  let counted = { all: 0, answers: 0 };
  while (sent < perSecond * seconds) {
    const due = Math.floor(((performance.now() - beganMs) * perSecond) / 1000);
    for (; sent < Math.min(due, perSecond * seconds); sent++) {
      if (sent === perSecond) counted = { ...replies };
      client.socket.send(packet, port, '127.0.0.1');
    }
    await sleep(2);
  }
  await sleep(200);
  const span = seconds - 1;
  return {
    all: (replies.all - counted.all) / span,
    answers: (replies.answers - counted.answers) / span,
  };
}

describe('The rate limit', () => {
  const LIMITED = ['--rrl', '100', '--rrl-exempt', '192.0.2.0/24'];

  it('Beside Knot and NSD with the same limit, a flood gets as many replies a second', async (t) => {
    const peers = (['knotd', 'nsd'] as const).filter(isInstalled);
    const { dns, metric } = await serve(t, LIMITED);
    await dig(dns, '+tcp', 'web.skydns.local');
    const addresses = await Promise.all(
      peers.map((peer) => startPeer(t, peer, { repliesPerSecond: 100 })),
    );
    const [ours, ...others] = await Promise.all(
      [dns, ...addresses].map((address) => flood(t, address, 1500, 4)),
    );
    assert.ok(ours !== undefined);
    assert.ok(ours.answers > 80 && ours.answers < 120, `${ours.answers} answers a second`);
    for (const [i, other] of others.entries()) {
      const ratio = ours.all / other.all;
      assert.ok(ratio > 0.8 && ratio < 1.25, `${ours.all} replies, ${other.all} of ${peers[i]}`);
    }
    assert.ok((await metric('soradns_rrl_total', { action: 'drop' })) > 1000);
    assert.ok((await metric('soradns_rrl_total', { action: 'truncate' })) > 1000);
  });

  it('The limit of one name does not touch another name, another network or an exempt client', async (t) => {
    const { dns } = await serve(t, ['--rrl', '5', '--rrl-exempt', '127.0.9.0/24']);
    const client = await openUdpClient(t);
    for (let i = 0; i < 50; i++) client.socket.send(packetWith(''), dns.port, '127.0.0.1');
    await sleep(100);
    client.socket.removeAllListeners('message');
    const isAnswered = async (address: string, qname: string) => {
      const { socket } = await openUdpClient(t, address);
      socket.send(packetWith('', qname), dns.port, '127.0.0.1');
      const [reply] = await once(socket, 'message', { signal: AbortSignal.timeout(5000) });
      return decodeMessage(reply)?.answer.length === 1;
    };
    assert.ok(await isAnswered('127.0.0.1', 'other.skydns.local'));
    assert.ok(await isAnswered('127.0.1.1', 'web.skydns.local'));
    for (let i = 0; i < 20; i++) assert.ok(await isAnswered('127.0.9.1', 'web.skydns.local'));
  });
});
