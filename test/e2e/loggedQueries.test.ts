/** The query log of a server whose answer table handles most queries. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { query, startTestServer } from '../support/server.ts';
import { until } from '../support/until.ts';
import { question } from '../support/zone.ts';

for (const workers of ['0', '1']) {
  test(`The server logs queries from the start and counts those beyond the limit (--workers ${workers})`, async (t) => {
    const server = await startTestServer({ 'log-queries': '3', workers });
    t.after(() => server.close());
    const logged = () => server.lines.filter(({ message }) => message === 'query').length;
    const unlogged = () =>
      server.lines.reduce((sum, { fields }) => sum + Number(fields.queries ?? 0), 0);
    const sent = 200;
    for (let i = 0; i < sent; i++) await query(server.dns, question('none.skydns.local.', 'A'));
    await until('every query is logged or counted', () => logged() + unlogged() === sent);
    assert.ok(logged() >= 3, `${logged()} logged`);
    assert.ok(unlogged() > 0, 'no query was left out of the log');
  });
}
