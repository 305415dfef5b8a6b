/** What `doctor` says about the servers of `--forward`. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { examined } from '../../support/examination.ts';
import { freePort } from '../../support/freePort.ts';
import { startUpstream } from '../../support/upstream.ts';

test('doctor asks each server of --forward for the SOA of its domain, and reports those that do not answer', async (t) => {
  const healthy = await startUpstream({ records: ['corp.example 60 A 192.0.2.1'] });
  const refusing = await startUpstream({ behaviour: { rcode: 'REFUSED' } });
  t.after(() => Promise.all([healthy.close(), refusing.close()]));
  const [closed, own] = [await freePort(), await freePort()];
  const flags = {
    addr: `0.0.0.0:${own}`,
    forward: [
      `corp.example=127.0.0.1:${healthy.port},127.0.0.1:${refusing.port}`,
      `lab.example=127.0.0.1:${closed}`,
      `loop.example=127.0.0.1:${own}`,
      'mine.example=local',
    ],
  };
  const found = await examined({ flags }, 'forward');
  const said = found.map(({ level, message }) => `${level}: ${message}`);
  assert.equal(said.length, 4, said.join('\n'));
  const expected = [
    new RegExp(`^ok: the server 127.0.0.1:${healthy.port} of corp.example. answers in `),
    new RegExp(`^problem: the server 127.0.0.1:${refusing.port} of corp.example. answers REFUSED$`),
    new RegExp(`^problem: the server 127.0.0.1:${closed} of lab.example. does not answer `),
    new RegExp(`^problem: the server 127.0.0.1:${own} of loop.example. is this server`),
  ];
  for (const [i, pattern] of expected.entries()) assert.match(said[i] ?? '', pattern);
  assert.match(found[1]?.fix ?? '', /^dig @127\.0\.0\.1 -p \d+ corp\.example\. SOA /);
  assert.deepEqual(
    healthy.queries.map(({ name, type }) => [name, type]),
    [['corp.example', 'SOA']],
  );
});
