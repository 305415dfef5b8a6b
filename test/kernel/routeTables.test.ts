/** The texts are those of Linux 6.18, shortened to the lines that differ in form. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type HostRoute,
  parseIpv6Routes,
  parseMainRoutes,
  parseOtherRoutes,
} from '../../src/kernel/routeTables.ts';

const ROUTE = [
  'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT     ',
  'eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0     ',
  'eth0\t0000000A\t020200C0\t0003\t0\t0\t0\t000000FF\t0\t0\t0     ',
  '*\t0000090A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0     ',
  'docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0     ',
  '*\t000012C6\t00000000\t0201\t0\t0\t0\t0000FEFF\t0\t0\t0     ',
  'lo\t000013C6\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0     ',
  'tun0\t01020304\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0     ',
  '',
].join('\n');

const FIB_TRIE = [
  'Id 52:',
  '  +-- 0.0.0.0/1 2 0 2',
  '     +-- 10.0.0.0/12 2 0 2',
  '        |-- 10.7.0.0',
  '           /16 universe PROHIBIT',
  '        |-- 10.8.0.0',
  '           /16 link UNICAST',
  '           /24 link UNICAST',
  '     |-- 127.0.0.0',
  '        /8 universe THROW',
  'Id 4000000000:',
  '  |-- 0.0.0.0',
  '     /0 universe UNICAST tos 16',
  'Main:',
  '  +-- 0.0.0.0/0 3 0 5',
  '     |-- 0.0.0.0',
  '        /0 universe UNICAST',
  '     |-- 172.17.0.0',
  '        /16 link UNICAST',
  'Local:',
  '     |-- 172.17.0.1',
  '        /32 host LOCAL',
  '',
].join('\n');

const zeros = (count: number): string => '0'.repeat(count);
const line6 = (network: string, gateway: string, metric: string, flags: string, device: string) =>
  `${network} ${zeros(32)} 00 ${gateway} ${metric} 00000001 00000000 ${flags} ${device.padStart(8)}`;
const IPV6_ROUTE = [
  line6(`${zeros(32)} 00`, zeros(32), 'ffffffff', '00200200', 'lo'),
  line6('20010db8000000000000000000000000 40', zeros(32), '00000100', '00000001', 'eth0'),
  line6('fd000009000000000000000000000000 30', zeros(32), '00000400', '00200200', 'lo'),
  line6('fd000017000000000000000000000000 40', zeros(32), '00000100', '00000001', 'docker0'),
  line6(`${zeros(32)} 00`, '20010db8000000000000000000000001', '00000400', '00000003', 'eth0'),
  line6('fd000017000000000000000000000001 80', zeros(32), '00000000', '80200001', 'docker0'),
  line6('fd000017000000000000000000000000 80', zeros(32), '00000000', '00300001', 'docker0'),
  '',
].join('\n');

function told({ address, prefixLength, device, hasGateway, isRefused, metric, table }: HostRoute) {
  return [
    `${address}/${prefixLength}`,
    device ?? '-',
    ...(hasGateway ? ['gateway'] : []),
    ...(isRefused ? ['refused'] : []),
    ...(metric === 0 ? [] : [`metric ${metric}`]),
    ...(table === undefined ? [] : [`table ${table}`]),
  ].join(' ');
}

describe('routing tables', () => {
  it('The routes of IPv4’s main table are read with their devices', () => {
    assert.deepEqual(parseMainRoutes(ROUTE).map(told), [
      '0.0.0.0/0 eth0 gateway metric 100',
      '10.0.0.0/8 eth0 gateway',
      '10.9.0.0/16 - refused',
      '172.17.0.0/16 docker0',
      '198.18.0.0/15 - refused',
      '198.19.0.0/16 lo',
      '4.3.2.1/32 tun0',
    ]);
  });

  it('The routes of IPv4’s other tables are read with the number of their table', () => {
    assert.deepEqual(parseOtherRoutes(FIB_TRIE).map(told), [
      '10.7.0.0/16 - refused table 52',
      '10.8.0.0/16 - table 52',
      '10.8.0.0/24 - table 52',
      '0.0.0.0/0 - table 4000000000',
    ]);
  });

  it('The routes of IPv6 are read without those to the host’s own addresses', () => {
    assert.deepEqual(parseIpv6Routes(IPV6_ROUTE).map(told), [
      '::/0 lo refused metric 4294967295',
      '2001:db8::/64 eth0 metric 256',
      'fd00:9::/48 lo refused metric 1024',
      'fd00:17::/64 docker0 metric 256',
      '::/0 eth0 gateway metric 1024',
    ]);
  });

  const damaged = (text: string) =>
    Array.from(text, (_, at) => `${text.slice(0, at)}Z${text.slice(at + 1)}`);

  it('Lines of another form are not read as routes, and no text is an error', () => {
    for (const parse of [parseMainRoutes, parseOtherRoutes, parseIpv6Routes])
      for (const text of [ROUTE, FIB_TRIE, IPV6_ROUTE].flatMap(damaged)) parse(text);
    assert.deepEqual(parseMainRoutes('eth0 0000000A 00000000 1 0 0 0 00FF00FF'), []);
    assert.deepEqual(parseOtherRoutes('Id 7:\n |-- 10.0.0.999\n  /8 link UNICAST'), []);
    assert.deepEqual(parseOtherRoutes('Id 7:\n |-- 10.0.0.0\n  /33 link UNICAST'), []);
    assert.deepEqual(parseIpv6Routes(IPV6_ROUTE.replace(/ 40 /g, ' f0 ')).length, 3);
  });
});
