/** Replies that use other servers' expired answers: they say so, and no answer table keeps them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Response } from '../../src/dns/message.ts';
import type { Forwarded } from '../../src/forward/outcome.ts';
import { createResolve } from '../../src/server/resolve.ts';
import type { Decided } from '../../src/zone/answer.ts';
import { NO_FACTS } from '../../src/zone/tree/view.ts';
import { type MessageText, messageOf } from '../support/messages.ts';
import { catalogOf, question, settingsOf, text } from '../support/zone.ts';

const SERVICES = {
  'local/skydns/out': { host: 'www.example.com' },
  'local/skydns/inside': { host: '10.0.0.1' },
};
const CLIENT = { transport: 'udp', address: '127.0.0.1', port: 40_000 } as const;

async function resolved(
  qname: string,
  reply: MessageText,
  stale: boolean,
): Promise<{ response: Response; published: readonly Decided[] }> {
  const published: Decided[] = [];
  const resolve = createResolve({
    root: catalogOf(SERVICES).root,
    version: () => 1,
    settings: () => settingsOf(),
    freshness: () => 'synced',
    facts: NO_FACTS,
    forwarder: () => ({
      peek: () => undefined,
      resolve: async (asked): Promise<Forwarded> => {
        const message = messageOf(asked, reply);
        return stale ? { kind: 'answered', message, stale } : { kind: 'answered', message };
      },
      close: async () => {},
    }),
    mayRecurse: () => true,
    mayRebind: () => true,
    maxUdpOctets: 1232,
    monotonicMs: () => 0,
    unixSeconds: () => 7_300,
    random: () => 0,
    onError: (error) => {
      throw error;
    },
    onDecided: (decided) => published.push(decided),
  });
  const asked = question(qname, 'A');
  const query = { id: 1, recursionDesired: true, checkingDisabled: false, question: asked };
  const response = await resolve({ ...query, edns: undefined }, CLIENT);
  return { response, published };
}

const ADDRESS: MessageText = { answer: ['www.example.com. 30 A 192.0.2.1'] };
const NXDOMAIN: MessageText = { rcode: 3 };

test('A stale answer has EDE 3, a stale NXDOMAIN EDE 19, and a fresh answer none', async () => {
  const codeOf = async (reply: MessageText, stale: boolean) =>
    (await resolved('www.example.com.', reply, stale)).response.extendedError?.code;
  assert.equal(await codeOf(ADDRESS, true), 3);
  assert.equal(await codeOf(NXDOMAIN, true), 19);
  assert.equal(await codeOf(ADDRESS, false), undefined);
});

test('An answer about our names that uses a stale answer has EDE 3, and is not published', async () => {
  const stale = await resolved('out.skydns.local.', ADDRESS, true);
  assert.equal(stale.response.extendedError?.code, 3);
  assert.deepEqual(text(stale.response.answer), [
    'out.skydns.local. 3600 IN CNAME www.example.com.',
    'www.example.com. 30 IN A 192.0.2.1',
  ]);
  assert.equal(stale.published.length, 0);
  const fresh = await resolved('out.skydns.local.', ADDRESS, false);
  assert.equal(fresh.response.extendedError, undefined);
  assert.equal(fresh.published.length, 1);
});

test('An answer about our names says that a name they lead to was missing a while ago', async () => {
  const { response, published } = await resolved('out.skydns.local.', NXDOMAIN, true);
  assert.deepEqual([response.rcode, response.extendedError?.code], [0, 3]);
  assert.equal(published.length, 0);
});

test('A stale alias into our zones keeps its EDE', async () => {
  const alias = { answer: ['www.example.com. 30 CNAME inside.skydns.local.'] };
  const { response } = await resolved('www.example.com.', alias, true);
  assert.equal(response.extendedError?.code, 3);
  assert.deepEqual(text(response.answer), [
    'inside.skydns.local. 3600 IN A 10.0.0.1',
    'www.example.com. 30 IN CNAME inside.skydns.local.',
  ]);
});
