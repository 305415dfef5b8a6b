/**
 * How a server stops: it is not ready at once, keeps answering for a while, and answers every query that it received.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Rcode } from '../../src/dns/rr.ts';
import { type CliProcess, startCli } from '../support/cliProcess.ts';
import { startQueryFlow } from '../support/queryFlow.ts';
import { query } from '../support/server.ts';
import { until } from '../support/until.ts';
import { question } from '../support/zone.ts';

interface Running {
  readonly process: CliProcess;
  readonly dns: { readonly address: string; readonly port: number };
  readonly http: string;
}

async function start(...args: readonly string[]): Promise<Running> {
  const process = startCli([
    ...['serve', '--store', 'memory:', '--no-rec'],
    ...['--addr', '127.0.0.1:0', '--http', '127.0.0.1:0', ...args],
  ]);
  const { dns, http } = await process.logged('serving');
  const [address = '', port = ''] = String((dns as string[])[0]).split(':');
  return { process, dns: { address, port: Number(port) }, http: `http://${http}` };
}

const QUESTION = question('nobody.skydns.local.', 'A');

async function readiness(http: string): Promise<{ status: number; body: string }> {
  const reply = await fetch(`${http}/readyz`);
  return { status: reply.status, body: await reply.text() };
}

describe('SIGTERM', () => {
  it('The server fails readiness at SIGTERM at once and answers every query until it exits', async () => {
    const { process, dns, http } = await start('--lame-duck', '5');
    const check = (reply: { rcode: number }) =>
      reply.rcode === Rcode.NXDOMAIN ? undefined : `rcode ${reply.rcode}`;
    const flow = startQueryFlow(dns, { question: QUESTION, queriesPerSecond: 1_000, check });
    const overTcp: Promise<unknown>[] = [];
    const tcp = setInterval(() => overTcp.push(query(dns, QUESTION, { transport: 'tcp' })), 20);
    await until('queries are answered', () => flow.answered > 200);
    await until('the server is ready', async () => (await readiness(http)).status === 200);

    const signalledMs = performance.now();
    const ended = process.end('SIGTERM');
    await until('readiness fails', async () => (await readiness(http)).status === 503, 2_000);
    assert.match((await readiness(http)).body, /^server: stopping$/m);
    const before = flow.answered;
    await until('the server still answers', () => flow.answered > before + 500);
    clearInterval(tcp);
    assert.equal(await flow.stop(), 0);
    assert.deepEqual(flow.problems, []);
    assert.ok(overTcp.length > 5);
    await Promise.all(overTcp);
    assert.equal(await ended, 0);
    const tookMs = performance.now() - signalledMs;
    assert.ok(tookMs >= 4_900, `it waited ${tookMs} ms`);
    await assert.rejects(readiness(http));
  });

  it('The server exits at once at a second SIGTERM', async () => {
    const { process, dns } = await start('--lame-duck', '60');
    const ended = process.end('SIGTERM');
    await process.logged('stopping');
    assert.equal((await query(dns, QUESTION)).rcode, Rcode.NXDOMAIN);
    await process.end('SIGTERM');
    assert.equal(await ended, 143);
  });
});

describe('SIGINT', () => {
  it('The server exits at SIGINT without a lame-duck period', async () => {
    const { process } = await start('--lame-duck', '60');
    const startedMs = performance.now();
    assert.equal(await process.end('SIGINT'), 0);
    assert.ok(performance.now() - startedMs < 20_000);
  });
});
