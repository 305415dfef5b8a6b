import assert from 'node:assert/strict';
import test from 'node:test';
import { parseCidr } from '../../src/forward/addresses.ts';
import {
  parseNotifyTarget,
  parseTransferRule,
  transferPolicy,
} from '../../src/transfer/transferRules.ts';

const rule = (text: string) => parseTransferRule(text) ?? assert.fail(text);
const cidr = (text: string) => parseCidr(text) ?? assert.fail(text);

test('A transfer rule with an address and a key needs both', () => {
  const may = transferPolicy([rule('10.0.0.0/8+key:one'), rule('key:Two')]);
  assert.equal(may('10.0.0.1', ['one']), true);
  assert.equal(may('10.0.0.1', undefined), false);
  assert.equal(may('192.0.2.1', ['one']), false);
  assert.equal(may('192.0.2.1', ['two']), true);
});

test('A client that --allow leaves out gets no transfer, even with the right key', () => {
  const may = transferPolicy([rule('key:one')], [cidr('10.0.0.0/8')]);
  assert.equal(may('10.0.0.1', ['one']), true);
  assert.equal(may('192.0.2.1', ['one']), false);
});

test('Texts that are no transfer rule or no secondary are refused', () => {
  for (const text of [
    '',
    'key:',
    'one',
    '10.0.0.0/33',
    '10.0.0.0/8+one',
    '10.0.0.0/8+key:a+key:b',
    'key:a+key:b',
  ])
    assert.equal(parseTransferRule(text), undefined, text);
  for (const text of [
    '',
    'ns.example',
    '10.0.0.1+one',
    '10.0.0.1+key:a+key:b',
    '10.0.0.1:0',
    '[fd00::1]:0',
  ])
    assert.equal(parseNotifyTarget(text), undefined, text);
});

test('Each form of an address in --notify becomes the form that sockets print', () => {
  for (const [text, address] of [
    ['[0:0:0:0:0:0:0:1]:5300', '::1'],
    ['[::0001]', '::1'],
    ['[FD00::A]', 'fd00::a'],
    ['[::ffff:192.0.2.1]', '192.0.2.1'],
    ['[FE80:0::1%eth0]', 'fe80::1%eth0'],
  ] as const)
    assert.equal(parseNotifyTarget(text)?.server.address, address, text);
});
