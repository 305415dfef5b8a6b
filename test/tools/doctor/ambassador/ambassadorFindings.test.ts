/** `doctor` for a server with an ambassador. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { printSocketAddress } from '../../../../src/dns/address.ts';
import { examinedServer } from '../../../../src/tools/doctor/ambassador/ambassadorFindings.ts';
import type { Finding } from '../../../../src/tools/doctor/judge/finding.ts';
import { examined } from '../../../support/examination.ts';
import { startTestServer } from '../../../support/server.ts';

const OWN_CHECKS = [
  ...[
    'plane',
    'engine',
    'namespace',
    'capability',
    'nftables',
    'kernel',
    'forwarding',
    'vip-range',
  ],
  ...['route', 'conntrack', 'br_netfilter', 'userland-proxy', 'isolation'],
];
const ownOf = (found: readonly Finding[]) =>
  found.filter(({ check }) => OWN_CHECKS.includes(check)).map(({ check }) => check);

const NO_FORWARDING = { '/proc/sys/net/ipv4/ip_forward': '0\n' };
const bridge = '127.53.19.1';

describe('doctor about an ambassador', () => {
  it('doctor judges nothing of an ambassador for a server without one', async () => {
    assert.deepEqual(ownOf(await examined({ files: NO_FORWARDING })), []);
  });

  it('doctor judges the host for a server with an ambassador, after everything else', async () => {
    const flags = { ambassador: true };
    const found = await examined({ files: NO_FORWARDING, flags });
    const expected = ['nftables', 'kernel', 'forwarding', 'br_netfilter'];
    assert.deepEqual(ownOf(found), expected);
    assert.deepEqual(ownOf(found.slice(-expected.length)), expected);
    assert.equal(found.find(({ check }) => check === 'forwarding')?.level, 'problem');
  });

  it('All of doctor’s fixes start the server with the same ambassador', async () => {
    const flags = {
      ...{ vip: true, 'vip-range': '10.64.0.0/16', 'ambassador-cross-bridge': 'false' },
      'ambassador-drain': '5',
    };
    const found = await examined({ bridge, isDefault: true, flags });
    const starts = found.flatMap(({ fix = '' }) => /soradns up .*/.exec(fix)?.[0] ?? []);
    assert.ok(starts.length > 0);
    assert.deepEqual(
      [...new Set(starts.map((line) => line.replace(/ +#.*/, '')))],
      [
        'soradns up --http off --store memory: --vip --vip-range 10.64.0.0/16 --ambassador-drain 5 --ambassador-cross-bridge=false',
      ],
    );
  });

  it('The examined server is the process that holds its port, where this user may see it', () => {
    const free = { endpoint: { address: '127.0.0.1', port: 53 }, isOwnAddress: true };
    const none = { ...free, udp: undefined, tcp: undefined, answersForUs: false, isSoradns: false };
    const holder = { pid: 7, command: 'node' };
    const blocked = { ...none, udp: { holder: { pid: 8, command: 'dnsmasq' } } };
    const waiting = { ...none, isSoradns: true, tcp: { holder } };
    assert.equal(examinedServer([none, blocked]), 'none');
    assert.equal(examinedServer([blocked, { ...none, answersForUs: true }]), 'unseen');
    assert.equal(examinedServer([{ ...waiting, udp: { holder: undefined } }]), 'unseen');
    assert.deepEqual(examinedServer([blocked, waiting]), holder);
  });

  it('doctor judges the rights of the process that holds the server’s port', async () => {
    const server = await startTestServer({});
    try {
      const flags = { ambassador: true, addr: printSocketAddress(server.dns) };
      const files = { [`/proc/${process.pid}/status`]: 'CapEff:\t0000000000000000\n' };
      const found = await examined({ flags, files }, 'capability');
      assert.deepEqual(
        found.map(({ message }) => message.replace(/;.*/, '')),
        [`the server (pid ${process.pid}) lacks NET_ADMIN`],
      );
      assert.match(found[0]?.fix ?? '', /^sudo soradns serve .*--ambassador {3}# instead of/);
    } finally {
      await server.close();
    }
  });
});
