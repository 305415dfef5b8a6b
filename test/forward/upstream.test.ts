import assert from 'node:assert/strict';
import test from 'node:test';
import {
  type Interfaces,
  parseNameserver,
  parseResolvConf,
  printUpstream,
  type Upstream,
  withoutOwnAddresses,
} from '../../src/forward/upstream.ts';

const at = (address: string, port = 53): Upstream => ({ address, port });

function overTls(address: string, tlsName: string, port = 853): Upstream {
  return { address, port, tlsName };
}

const nameservers: readonly [string, Upstream | undefined][] = [
  ['1.1.1.1', at('1.1.1.1')],
  [' 1.1.1.1 ', at('1.1.1.1')],
  ['1.1.1.1:5353', at('1.1.1.1', 5353)],
  ['2001:db8::1', at('2001:db8::1')],
  ['[2001:db8::1]', at('2001:db8::1')],
  ['[2001:db8::1]:53', at('2001:db8::1', 53)],
  ['[fe80::1%eth0]:5300', at('fe80::1%eth0', 5300)],
  ['fe80::1%eth0', at('fe80::1%eth0')],
  ['1.1.1.1:0', undefined],
  ['1.1.1.1:65536', undefined],
  ['1.1.1.1:', undefined],
  ['1.1.1:53', undefined],
  ['[1.1.1.1]:53', undefined],
  ['[2001:db8::1:53', undefined],
  ['dns.example.com', undefined],
  ['dns.example.com:53', undefined],
  ['', undefined],
  ['tls://1.1.1.1', overTls('1.1.1.1', '1.1.1.1')],
  ['tls://1.1.1.1:8853', overTls('1.1.1.1', '1.1.1.1', 8853)],
  ['tls://1.1.1.1#One.one.one.one', overTls('1.1.1.1', 'one.one.one.one')],
  ['tls://1.1.1.1:8853#dns.example.com', overTls('1.1.1.1', 'dns.example.com', 8853)],
  ['tls://10.0.0.2#192.0.2.1', overTls('10.0.0.2', '192.0.2.1')],
  ['tls://2001:db8::1', overTls('2001:db8::1', '2001:db8::1')],
  ['tls://[2001:db8::1]:8853#dns.example', overTls('2001:db8::1', 'dns.example', 8853)],
  ['tls://fe80::1%eth0', overTls('fe80::1%eth0', 'fe80::1')],
  ['tls://', undefined],
  ['tls://dns.example.com', undefined],
  ['tls://1.1.1.1:0', undefined],
  ['tls://1.1.1.1#', undefined],
  ['tls://1.1.1.1#dns.example.com.', undefined],
  ['tls://1.1.1.1#1.1.1', undefined],
  ['tls://1.1.1.1#a#b', undefined],
  ['1.1.1.1#dns.example.com', undefined],
  ['https://1.1.1.1', undefined],
];

for (const [text, expected] of nameservers)
  test(`The nameserver "${text}" is ${expected ? 'accepted' : 'refused'}`, () =>
    assert.deepEqual(parseNameserver(text), expected));

test('A printed upstream is read as the same upstream again', () => {
  for (const [, upstream] of nameservers) {
    if (upstream === undefined) continue;
    assert.deepEqual(parseNameserver(printUpstream(upstream)), upstream);
  }
});

test('resolv.conf gives its nameservers in order and each once', () => {
  const text = [
    '# nameserver 192.0.2.1',
    '; nameserver 192.0.2.2',
    'search example.com',
    'nameserver 127.0.0.53',
    'nameserver\t10.0.0.2   # the office',
    'nameserver fe80::1%eth0',
    'nameserver 10.0.0.2',
    'nameserver',
    'nameserver dns.example.com',
    'nameserver 10.0.0.2.3',
    ' nameserver 192.0.2.3',
    'nameservers 192.0.2.4',
    'options ndots:5 edns0\r',
    'nameserver 2001:db8::53\r',
    'nameserver 10.0.0.4',
  ].join('\n');
  assert.deepEqual(
    parseResolvConf(text).map(({ address }) => address),
    ['127.0.0.53', '10.0.0.2', 'fe80::1%eth0', '2001:db8::53', '10.0.0.4'],
  );
  assert.deepEqual(parseResolvConf(''), []);
});

const info = (address: string) => ({ address }) as NonNullable<Interfaces[string]>[number];
const interfaces: Interfaces = {
  lo: [info('127.0.0.1'), info('::1')],
  eth0: [info('192.0.2.7'), info('2001:db8::7'), info('fe80::7')],
  down: undefined,
};

const own: readonly [string, readonly Upstream[], readonly string[]][] = [
  ['removes the very address that the server listens on', [at('192.0.2.7')], ['192.0.2.7']],
  ['keeps an own address with another port', [at('192.0.2.7', 5300)], []],
  ['removes another spelling of an own address', [at('2001:0db8:0::0007')], ['2001:db8::7']],
  [
    'removes all addresses of the host for the IPv4 wildcard',
    [at('0.0.0.0')],
    ['192.0.2.7', '2001:db8::7', 'fe80::7%eth0', '127.0.0.1', '127.0.0.53', '0.0.0.0', '::'],
  ],
  [
    'removes all addresses of the host for the IPv6 wildcard',
    [at('::')],
    ['192.0.2.7', '2001:db8::7', 'fe80::7%eth0', '127.0.0.1', '127.0.0.53', '0.0.0.0', '::'],
  ],
  [
    'removes the wildcard, which reaches loopback, for 127.0.0.1',
    [at('127.0.0.1')],
    ['127.0.0.1', '0.0.0.0'],
  ],
];

const candidates = [
  '192.0.2.7',
  '192.0.2.8',
  '2001:db8::7',
  'fe80::7%eth0',
  '127.0.0.1',
  '127.0.0.53',
  '0.0.0.0',
  '::',
].map((address) => at(address));

for (const [what, listening, dropped] of own)
  test(`withoutOwnAddresses ${what}`, () => {
    const kept = withoutOwnAddresses(candidates, listening, interfaces);
    assert.deepEqual(
      candidates.filter((upstream) => !kept.includes(upstream)).map(({ address }) => address),
      dropped.toSorted((a, b) => order(a) - order(b)),
    );
  });

function order(address: string): number {
  return candidates.findIndex((upstream) => upstream.address === address);
}
