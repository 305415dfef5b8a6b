/** The query log of a server whose table answers most queries where nobody logs them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { query, startTestServer } from '../support/server.ts';
import { until } from '../support/until.ts';
import { question } from '../support/zone.ts';

for (const workers of ['0', '1']) {
  test(`queries are logged from the start, and counted beyond the limit (--workers ${workers})`, async (t) => {
    const server = await startTestServer({ 'log-queries': '3', workers });
    t.after(() => server.close());
    const logged = () => server.lines.filter(({ message }) => message === 'query').length;
    const untold = () =>
      server.lines.reduce((sum, { fields }) => sum + Number(fields.queries ?? 0), 0);
    const asked = 200;
    for (let i = 0; i < asked; i++) await query(server.dns, question('none.skydns.local.', 'A'));
    await until('all are accounted for', () => logged() + untold() === asked);
    assert.ok(logged() >= 3, `${logged()} logged`);
    assert.ok(untold() > 0, 'nothing was left out');
  });
}
