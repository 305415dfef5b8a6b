/** The records of RFC 9462 by which clients find the encrypted transports, compared with BIND's text of them. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { printRr } from '../../src/dns/presentation/presentation.ts';
import { type Designated, designatedAnswer } from '../../src/server/designated.ts';
import { makeCertificates } from '../support/certificates.ts';
import { dig } from '../support/dig.ts';
import { freePort } from '../support/freePort.ts';
import { nameOf, questionOf } from '../support/messages.ts';
import { isThere } from '../support/secureServer.ts';
import { startTestServer } from '../support/server.ts';
import { startUpstream } from '../support/upstream.ts';

const at = (address: string, port: number) => ({ address, port });

const DESIGNATED: Designated = {
  target: nameOf('dns.example.com'),
  dot: [at('192.0.2.1', 853), at('2001:db8::1', 853)],
  doh: [at('0.0.0.0', 8443)],
  dohPath: '/dns-query',
};

test('Each transport of a port is one record, with the addresses of that port', () => {
  const question = { ...questionOf('_dns.resolver.arpa'), qtype: 64 };
  const answered = designatedAnswer(question, DESIGNATED, { localAddress: '198.51.100.7' });
  const octets = answered?.answer.map(({ rdata }) => rdata.kind === 'unknown' && rdata.octets);
  const target = '03646e73076578616d706c6503636f6d00';
  const hex = (octetsOfOne: Uint8Array | false | undefined) =>
    Buffer.from(octetsOfOne || []).toString('hex');
  assert.deepEqual(octets?.map(hex), [
    `0001${target}0001000403646f74000300020355` +
      `00040004c000020100060010${'20010db8000000000000000000000001'}`,
    `0002${target}0001000c02683208687474702f312e31000300022 0fb`.replace(' ', '') +
      `00040004c6336407` +
      `00070010${Buffer.from('/dns-query{?dns}').toString('hex')}`,
  ]);
});

test('A wildcard address stands for the address that the client has asked, in its own family only', () => {
  const question = { ...questionOf('_dns.resolver.arpa'), qtype: 64 };
  const recordOf = (wildcard: string, localAddress: string) =>
    designatedAnswer(
      question,
      { ...DESIGNATED, dot: [at(wildcard, 853)], doh: [] },
      { localAddress },
    )?.answer.map((rr) => printRr(rr).split('\t').at(-1));
  const record = (hint: string) => [`1 dns.example.com. alpn="dot" port=853${hint}`];
  assert.deepEqual(recordOf('0.0.0.0', '192.0.2.1'), record(' ipv4hint=192.0.2.1'));
  assert.deepEqual(recordOf('::', '2001:db8::1'), record(' ipv6hint=2001:db8::1'));
  assert.deepEqual(recordOf('0.0.0.0', '2001:db8::1'), record(''));
  assert.deepEqual(recordOf('::', '192.0.2.1'), record(''));
});

test('Only that name has the records', () => {
  const ask = (name: string, type = 64) =>
    designatedAnswer({ ...questionOf(name), qtype: type }, DESIGNATED, {});
  assert.equal(ask('resolver.arpa'), undefined);
  assert.equal(ask('x._dns.resolver.arpa'), undefined);
  const nodata = ask('_dns.resolver.arpa', 1);
  assert.deepEqual(nodata?.answer, []);
  assert.deepEqual(
    nodata?.authority.map(({ owner, type }) => [owner.join('.'), type]),
    [['resolver.arpa', 6]],
  );
  assert.equal(ask('_DNS.Resolver.ARPA')?.answer.length, 2);
});

test('A server with --dot tells dig of it, and no upstream is asked', async (t) => {
  if (!(await isThere('dig'))) return t.skip('dig is not installed');
  const certificates = makeCertificates();
  t.after(() => certificates.remove());
  const upstream = await startUpstream();
  t.after(() => upstream.close());
  const port = await freePort();
  const server = await startTestServer({
    ...{ 'no-rec': false, nameservers: `127.0.0.1:${upstream.port}`, dot: [`127.0.0.1:${port}`] },
    'server-cert': certificates.path('server.pem'),
    'server-key': certificates.path('server-key.pem'),
  });
  t.after(() => server.close());
  const { status, answer } = await dig(server.dns, '_dns.resolver.arpa', 'SVCB');
  assert.equal(status, 'NOERROR');
  assert.deepEqual(answer, [
    `_dns.resolver.arpa. 300 IN SVCB 1 localhost. alpn="dot" port=${port} ipv4hint=127.0.0.1`,
  ]);
  assert.equal(upstream.queries.length, 0);
});
