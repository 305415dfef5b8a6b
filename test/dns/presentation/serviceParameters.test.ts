/** SVCB and HTTPS: the test vectors of RFC 9460, appendix D, and the rules that they leave out. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { parseTypedRdata, printRdata } from '../../../src/dns/presentation/presentation.ts';
import { Class } from '../../../src/dns/rr.ts';
import { uncompressedOctets } from '../../support/records.ts';

const FOO = '03666f6f076578616d706c6503636f6d00';
const FOO_ORG = '03666f6f076578616d706c65036f726700';

/** Text, octets, and the text that we print. */
const vectors = [
  ['D.1', 'HTTPS 0 foo.example.com.', `0000${FOO}`, '0 foo.example.com.'],
  ['D.2, figure 3', 'SVCB 1 .', '000100', '1 .'],
  [
    'D.2, figure 4',
    'SVCB 16 foo.example.com. port=53',
    `0010${FOO}000300020035`,
    '16 foo.example.com. port=53',
  ],
  [
    'D.2, figure 5',
    'SVCB 1 foo.example.com. key667=hello',
    `0001${FOO}029b000568656c6c6f`,
    '1 foo.example.com. key667="hello"',
  ],
  [
    'D.2, figure 6',
    'SVCB 1 foo.example.com. key667="hello\\210qoo"',
    `0001${FOO}029b000968656c6c6fd2716f6f`,
    '1 foo.example.com. key667="hello\\210qoo"',
  ],
  [
    'D.2, figure 7',
    'SVCB 1 foo.example.com. (\n  ipv6hint="2001:db8::1,2001:db8::53:1"\n  )',
    `0001${FOO}00060020${'20010db8000000000000000000000001'}${'20010db8000000000000000000530001'}`,
    '1 foo.example.com. ipv6hint=2001:db8::1,2001:db8::53:1',
  ],
  [
    'D.2, figure 8',
    'SVCB 1 example.com. ipv6hint="2001:db8:122:344::192.0.2.33"',
    `0001${FOO.slice(8)}0006001020010db8012203440000${'0000'}c0000221`,
    '1 example.com. ipv6hint=2001:db8:122:344::c000:221',
  ],
  [
    'D.2, figure 9',
    'SVCB 16 foo.example.org. (\n  alpn=h2,h3-19 mandatory=ipv4hint,alpn\n  ipv4hint=192.0.2.1\n  )',
    `0010${FOO_ORG}0000000400010004${'000100090268320568332d3139'}00040004c0000201`,
    '16 foo.example.org. mandatory=alpn,ipv4hint alpn="h2,h3-19" ipv4hint=192.0.2.1',
  ],
  [
    'D.2, figure 10, quoted',
    'SVCB 16 foo.example.org. alpn="f\\\\\\\\oo\\\\,bar,h2"',
    `0010${FOO_ORG}0001000c08665c6f6f2c626172026832`,
    '16 foo.example.org. alpn="f\\\\\\\\oo\\\\,bar,h2"',
  ],
  [
    'D.2, figure 10, unquoted',
    'SVCB 16 foo.example.org. alpn=f\\\\\\092oo\\092,bar,h2',
    `0010${FOO_ORG}0001000c08665c6f6f2c626172026832`,
    '16 foo.example.org. alpn="f\\\\\\\\oo\\\\,bar,h2"',
  ],
] as const;

for (const [where, text, hex, printed] of vectors) {
  test(`The record of RFC 9460, ${where}, has the octets of the RFC`, () => {
    const parsed = parseTypedRdata(text);
    assert.ok(parsed.kind === 'rdata', JSON.stringify(parsed));
    assert.equal(uncompressedOctets(parsed).toString('hex'), hex);
    assert.equal(printRdata({ ...parsed, class: Class.IN }), printed);
  });
}

const refused = [
  ['D.3, figure 11', 'key123=abc key123=def', 'key123 is there twice'],
  ['D.3, figure 12', 'mandatory', ' is not a known parameter'],
  ['D.3, figure 12', 'alpn', 'alpn is not a list of protocols'],
  ['D.3, figure 12', 'port', 'port is not 0 to 65535'],
  ['D.3, figure 12', 'ipv4hint', 'ipv4hint is not an IPv4 address'],
  ['D.3, figure 12', 'ipv6hint', 'ipv6hint is not an IPv6 address'],
  ['D.3, figure 13', 'alpn=h2 no-default-alpn=abc', 'no-default-alpn has a value'],
  ['D.3, figure 14', 'mandatory=key123', 'key123 is mandatory and missing'],
  ['D.3, figure 15', 'mandatory=mandatory', 'mandatory is among the mandatory parameters'],
  ['D.3, figure 16', 'mandatory=key123,key123 key123=abc', 'key123 is there twice in mandatory'],
  ['§7.1.1', 'no-default-alpn', 'no-default-alpn needs alpn'],
  ['§7.1.1', 'alpn=h2,,h3', 'alpn is not a list of protocols'],
  ['appendix A.1', 'alpn=h2\\\\', 'alpn is not a list of protocols'],
  ['§7.2', 'port=65536', 'port is not 0 to 65535'],
  ['§14.3.2', 'key65535=a', 'key65535 is not a known parameter'],
  ['§2.1', 'key01=a', 'key01 is not a known parameter'],
  ['§2.1, a number in place of a name', 'key1=h2', 'key1 is not a known parameter'],
] as const;

for (const [where, parameters, reason] of refused) {
  test(`RFC 9460, ${where}: a record with ${parameters} is refused`, () => {
    const parsed = parseTypedRdata(`SVCB 1 foo.example.com. ${parameters}`);
    assert.deepEqual(parsed, {
      kind: 'invalid',
      reason: `SVCB: ${reason}`.replace('SVCB:  is', 'SVCB: a parameter is'),
    });
  });
}
