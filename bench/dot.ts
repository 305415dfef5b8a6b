/**
 * The part `dot`: what an answer over TLS and over HTTPS costs beside the peers, and what a question to an upstream costs
 * over a connection of TLS that is open, beside UDP.
 */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort } from '../test/support/freePort.ts';
import { startUnbound } from '../test/support/unbound.ts';
import { type Finding, finding, ratioOf, targetTable, withRange } from './dataplane/compare.ts';
import {
  DOMAIN,
  type EncryptedServer,
  makeCertificate,
  NAMES,
  startEncrypted,
  startPeers,
} from './dot/encryptedServers.ts';
import { GENERATOR_CORE, isInstalled, pinned, type Running, SERVER_CORE } from './process.ts';
import { startSoradns, untilReady } from './soradns.ts';
import { figure, markdown, median } from './table.ts';

export interface DotOptions {
  readonly folder: string;
  readonly rounds: number;
  readonly seconds: number;
}

/** Questions to upstreams in one round. */
const FORWARDED = 20_000;
const STREAMS = 16;

const run = promisify(execFile);

/** One way to ask a server, and how many answers it gave. */
interface Load {
  readonly title: string;
  readonly server: Running;
  readonly ask: (round: number) => Promise<number>;
}

interface Sample {
  readonly cpuMicros: number;
  readonly answers: number;
}

/** Returns markdown. */
export async function benchDot(options: DotOptions): Promise<string> {
  const running: { stop(): Promise<void> }[] = [];
  try {
    const clients = await benchClients(options, running);
    const upstreams = await benchUpstreams(options, running);
    return [...clients.text, ...upstreams.text]
      .concat(`### Targets\n\n${targetTable([...clients.findings, ...upstreams.findings])}`)
      .join('\n\n');
  } finally {
    await Promise.all(running.map((each) => each.stop()));
  }
}

interface Measured {
  readonly text: readonly string[];
  readonly findings: readonly Finding[];
}

async function benchClients(
  options: DotOptions,
  running: { stop(): Promise<void> }[],
): Promise<Measured> {
  const { folder } = options;
  const certificate = makeCertificate(folder);
  const servers = [await startEncrypted(folder, certificate)];
  running.push(...servers.map((server) => server.running));
  const peers = await startPeers(folder, certificate);
  running.push(...peers.map((peer) => peer.running));
  servers.push(...peers);
  await sleep(1_000);
  const names = join(folder, 'dot-names');
  writeFileSync(names, Array.from({ length: NAMES }, (_, i) => `host${i}.${DOMAIN} A\n`).join(''));
  const query = join(folder, 'dot-query');
  writeFileSync(query, queryOctets(`host0.${DOMAIN}`));
  const dot = await alternated(
    servers.map((server) => dotLoad(server, names, options)),
    options,
  );
  const withDoh = servers.filter(({ dohPort }) => dohPort !== undefined);
  const many = await alternated(
    withDoh.map((server) => dohLoad(server, query, STREAMS, options)),
    options,
  );
  const one = await alternated(
    withDoh.map((server) => dohLoad(server, query, 1, options)),
    options,
  );
  const titles = (of: readonly EncryptedServer[]) => of.map(({ title }) => title);
  return {
    text: [
      `### Answers over TLS\n\n${table(titles(servers), dot)}`,
      `### Answers over HTTPS, ${STREAMS} streams\n\n${table(titles(withDoh), many)}`,
      `### Answers over HTTPS, one stream\n\n${table(titles(withDoh), one)}`,
    ],
    findings: [
      ...against('an answer over TLS', titles(servers), dot),
      ...against(`an answer over HTTPS, ${STREAMS} streams`, titles(withDoh), many),
    ],
  };
}

/** Two servers without a cache forward the same fresh names to the same unbound. */
async function benchUpstreams(
  { folder, rounds }: DotOptions,
  running: { stop(): Promise<void> }[],
): Promise<Measured> {
  if (!isInstalled('unbound')) return { text: ['Upstreams need unbound.'], findings: [] };
  const certificate = makeCertificate(folder);
  const [port, tlsPort] = [await freePort(), await freePort()];
  const unbound = startUnbound({
    ...{ port, folder },
    server: [
      `interface: 127.0.0.1@${tlsPort}`,
      ...[`tls-port: ${tlsPort}`, 'so-reuseport: no'],
      `tls-service-pem: "${certificate.cert}"`,
      `tls-service-key: "${certificate.key}"`,
      'local-zone: "any.example." redirect',
      'local-data: "any.example. 3600 A 192.0.2.1"',
    ],
  });
  running.push({ stop: () => unbound.kill() });
  const forwarding = async (title: string, nameserver: string): Promise<Load> => {
    const args = ['--nameservers', nameserver, '--upstream-ca', certificate.cert];
    const server = await startSoradns({
      ...{ store: 'memory:', cwd: folder, core: SERVER_CORE },
      args: [...args, '--cache-memory', '0', '--workers', '1'],
    });
    running.push(server);
    await untilReady(server);
    const ask = async (round: number): Promise<number> => {
      const path = join(folder, `fresh-${round}`);
      const lines = Array.from({ length: FORWARDED }, (_, i) => `r${round}-${i}.any.example A\n`);
      writeFileSync(path, lines.join(''));
      const load = ['-c', '4', '-q', '100', '-n', '1', '-d', path];
      return dnsperf(['-s', '127.0.0.1', '-p', String(server.port), ...load]);
    };
    return { title, server, ask };
  };
  const loads = [
    await forwarding('over TLS', `tls://127.0.0.1:${tlsPort}`),
    await forwarding('over UDP', `127.0.0.1:${port}`),
  ];
  const samples = await alternated(loads, { rounds });
  const titles = loads.map(({ title }) => title);
  const [tls, udp] = samples.map((of) => of.map(({ cpuMicros }) => cpuMicros));
  return {
    text: [`### Questions to an upstream\n\n${table(titles, samples)}`],
    findings: [
      finding('a question to an upstream, TLS ÷ UDP, CPU', 2, ratioOf(tls ?? [], udp ?? [])),
    ],
  };
}

function dotLoad(
  { title, running, dotPort }: EncryptedServer,
  names: string,
  { seconds }: DotOptions,
): Load {
  const where = ['-m', 'dot', '-s', '127.0.0.1', '-p', String(dotPort)];
  const load = ['-c', '8', '-q', '200', '-l', String(seconds), '-d', names];
  return { title, server: running, ask: () => dnsperf([...where, ...load]) };
}

async function dnsperf(args: readonly string[]): Promise<number> {
  const { stdout } = await run(...pinned(['dnsperf', ...args], GENERATOR_CORE));
  return Number(/Queries completed: +(\d+)/.exec(stdout)?.[1] ?? 0);
}

function dohLoad(
  { title, running, dohPort }: EncryptedServer,
  query: string,
  streams: number,
  { seconds }: DotOptions,
): Load {
  const type = 'content-type: application/dns-message';
  const load = ['-c', '8', '-m', String(streams), '-D', String(seconds), '-d', query, '-H', type];
  const url = `https://127.0.0.1:${dohPort}/dns-query`;
  return {
    title,
    server: running,
    async ask() {
      const { stdout } = await run(...pinned(['h2load', ...load, url], GENERATOR_CORE));
      return Number(/status codes: (\d+) 2xx/.exec(stdout)?.[1] ?? 0);
    },
  };
}

/** Each load once a round, in turns. The first round warms up. */
async function alternated(
  loads: readonly Load[],
  { rounds }: Pick<DotOptions, 'rounds'>,
): Promise<Sample[][]> {
  const samples: Sample[][] = loads.map(() => []);
  for (let round = 0; round <= rounds; round++)
    for (const [i, { server, ask }] of loads.entries()) {
      const before = server.cpuSeconds();
      const answers = await ask(round);
      const cpuMicros = ((server.cpuSeconds() - before) * 1e6) / answers;
      if (round > 0) samples[i]?.push({ cpuMicros, answers });
    }
  return samples;
}

function table(titles: readonly string[], samples: readonly (readonly Sample[])[]): string {
  const rows = titles.map((title, i) => {
    const of = samples[i] ?? [];
    const cpu = of.map(({ cpuMicros }) => cpuMicros);
    return [title, withRange(cpu, 1), figure(median(of.map(({ answers }) => answers)))];
  });
  return markdown([['', 'CPU µs/answer', 'answers'], ...rows]);
}

/** soradns against each peer. */
function against(
  what: string,
  titles: readonly string[],
  samples: readonly (readonly Sample[])[],
): Finding[] {
  const cpu = samples.map((of) => of.map(({ cpuMicros }) => cpuMicros));
  const [ours = [], ...others] = cpu;
  return others.map((peer, i) =>
    finding(`${what} ÷ ${titles[i + 1]}, CPU`, 1.2, ratioOf(ours, peer)),
  );
}

/** A query for A, with the id 0 that RFC 8484 §4.1 recommends. */
function queryOctets(name: string): Buffer {
  const labels = name
    .split('.')
    .map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`));
  const header = Buffer.from([0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, 1, 0, 1])]);
}
