/** Names that an ambassador's routes lead to, from /etc/hosts. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { askHosts } from '../../../src/app/ambassador/outsideResolver.ts';
import { foldName, parseName } from '../../../src/dns/name.ts';
import { Class, Type } from '../../../src/dns/rr.ts';

const HOSTS = `127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost
# 10.0.0.9 redis
172.17.0.2\tredis 0123456789ab redis-1 # Docker's link
  172.17.0.3   DB.Example  db
fd00::3 db
172.17.0.999 broken
nonsense
10.0.0.1`;

function asked(text: string, name: string, qtype: number): string | undefined {
  const qname = foldName(parseName(name) ?? assert.fail(name));
  const answer = askHosts(text, { qname, qtype, qclass: Class.IN });
  if (answer === undefined) return undefined;
  assert.ok(answer.kind === 'found');
  return answer.rrs.map(({ rdata }) => (rdata.kind === 'address' ? rdata.address : '?')).join();
}

test('A name of the hosts file has the addresses of its lines, and any other name is left to DNS', () => {
  assert.equal(asked(HOSTS, 'redis', Type.A), '172.17.0.2');
  assert.equal(asked(HOSTS, 'redis-1', Type.A), '172.17.0.2');
  assert.equal(asked(HOSTS, 'db', Type.A), '172.17.0.3');
  assert.equal(asked(HOSTS, 'db', Type.AAAA), 'fd00::3');
  assert.equal(asked(HOSTS, 'Db.example', Type.A), '172.17.0.3');
  assert.equal(asked(HOSTS, 'redis', Type.AAAA), '');
  for (const name of ['broken', 'nonsense', 'link', '172.17.0.2', 'redis.example'])
    assert.equal(asked(HOSTS, name, Type.A), undefined, name);
  assert.equal(asked(HOSTS, 'redis', Type.SRV), undefined);
});

test('Any hosts file is read without an exception', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      asked(`${text}\n172.17.0.2 redis`, 'redis', Type.A);
    }),
  );
});
