/**
 * Every kind of consumer reaches a service at its virtual address and through its link, whatever Docker's settings are;
 * and what Docker keeps apart stays apart. Real Docker hosts: `a` has Docker's userland proxy, `b` has not.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { compile } from '../support/dockerImages.ts';
import { output } from '../support/engineCommands.ts';
import { type ClientPlace, connectOften, serveFlows, watchFlow } from '../support/flows.ts';
import type { Host } from '../support/host.ts';
import { environment } from '../support/hostCleaner.ts';
import { type Hosts, useHosts } from '../support/hosts.ts';
import { until } from '../support/until.ts';
import { virtualAddress } from '../support/virtualAddress.ts';

const hosts = useHosts({
  options: ['--vip'],
  dockerConfig: { b: { 'userland-proxy': false } },
});
const folder = mkdtempSync(join(tmpdir(), 'soradns-flow-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const WEB = 'web.skydns.local';
/** A second service, so that an answer proves which one was reached. */
const OTHER = 'other.skydns.local';
/** The containers' own ports, and those of the links to them. */
const OWN: Ports = { tcp: 80, udp: 53 };
const LINK: Ports = { tcp: 6379, udp: 6053 };
const ENV = { [`DNS_LINK_${LINK.tcp}`]: WEB, [`DNS_LINK_${LINK.udp}_UDP`]: WEB };
const INTERNAL = { DNS_MODE: 'internal', DNS_VIP: 'auto' };
/** Every reply is of this service. */
const RIGHT = '10 web, web';

interface Ports {
  readonly tcp: number;
  readonly udp: number;
}

interface Consumer {
  readonly what: string;
  readonly host: Host;
  readonly place: ClientPlace;
  /** Where its link is; undefined: it has none. */
  readonly gateway: string | undefined;
}

interface Scene {
  readonly consumers: readonly Consumer[];
  readonly vip: string;
  /** The container's own address. */
  readonly own: string;
}

const sysctl = (host: Host, setting: string) =>
  output(host.dockerd.onHost('sysctl', '-qw', setting), environment());

async function addressOf(host: Host, id: string): Promise<string> {
  const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}';
  return host.dockerd.docker('inspect', '--format', format, id);
}

/** Starts the services on the host, and one consumer of each kind. */
async function sceneOn(host: Host, { c }: Hosts): Promise<Scene> {
  const { dockerd } = host;
  await dockerd.docker(
    'network',
    'create',
    '--gateway',
    '10.88.0.1',
    '--subnet',
    '10.88.0.0/16',
    'other',
  );
  const instance = (text: string, name: string) =>
    serveFlows(host, {
      ...{ text, ports: [OWN.tcp, OWN.udp], publish: [`${OWN.tcp}/tcp`, `${OWN.udp}/udp`] },
      env: {
        [`DNS_${OWN.tcp}_NAME`]: `tcp.${name}`,
        [`DNS_${OWN.udp}_UDP_NAME`]: `udp.${name}`,
        ...{ DNS_VIP: 'auto', DNS_VIP_NAME: name, ...ENV },
      },
    });
  const backend = await instance('web', WEB);
  await instance('other', OTHER);
  const consumer = (on: Host, network: string) =>
    on.dockerd.run({ image: 'peer', network, env: ENV, args: ['--dns', on.bridge] });
  const [same, other, elsewhere] = await Promise.all([
    consumer(host, 'bridge'),
    consumer(host, 'other'),
    consumer(c, 'bridge'),
  ]);
  const exec = (id: string): ClientPlace => ({ kind: 'exec', id });
  const program = compile(folder, 'musl-gcc', 'flow', 'flow.c', '-static');
  const gateway = host.bridge;
  return {
    consumers: [
      { what: 'on the same bridge', host, place: exec(same), gateway },
      { what: 'the backend itself', host, place: exec(backend), gateway },
      { what: 'on another bridge', host, place: exec(other), gateway: '10.88.0.1' },
      { what: 'a program of the host', host, place: { kind: 'host', program }, gateway: undefined },
      { what: 'on another host', host: c, place: exec(elsewhere), gateway: c.bridge },
    ],
    vip: await virtualAddress(host, WEB),
    own: await addressOf(host, backend),
  };
}

/** What a consumer sees at an address: the texts of the servers that answer, or the error. */
async function seenAt(
  { host, place }: Pick<Consumer, 'host' | 'place'>,
  address: string,
  ports: Ports,
) {
  const { replies, error } = await connectOften(host, place, [address, ports.tcp], { count: 10 });
  const datagrams = watchFlow(host, place, 'datagrams', [address, ports.udp], {
    everyMs: 2_000,
    seconds: 0,
  });
  await datagrams.ended();
  const [first] = datagrams.seen();
  const texts = Object.entries(replies).map(([text, count]) => `${count} ${text}`);
  return [...texts, ...(error ? [error] : []), first?.reply?.split(' ')[0] ?? first?.error].join(
    ', ',
  );
}

for (const name of ['a', 'b'] as const) {
  const proxy = `${name === 'a' ? 'with' : 'without'} Docker’s userland proxy`;
  test(
    `Every kind of consumer reaches a virtual address and its link, ${proxy}`,
    hosts.options,
    hosts.on(async (all) => {
      const host = all[name];
      const scene = await sceneOn(host, all);
      await until('the link is there', async () => {
        const last = scene.consumers.at(-1);
        return last !== undefined && (await seenAt(last, all.c.bridge, LINK)) === '10 web, web';
      });
      for (const rules of [0, 1]) {
        for (const on of [host, all.c])
          await sysctl(on, `net.bridge.bridge-nf-call-iptables=${rules}`);
        const seen = await Promise.all(
          scene.consumers.flatMap((consumer) => {
            const { what, gateway } = consumer;
            const at = async (where: string, address: string, ports: Ports) => {
              const text = await seenAt(consumer, address, ports);
              return text === RIGHT ? [] : [`${what}, ${where}, br_netfilter ${rules}: ${text}`];
            };
            const linked = gateway === undefined ? [] : [at('link', gateway, LINK)];
            return [at('virtual address', scene.vip, OWN), ...linked];
          }),
        );
        assert.deepEqual(seen.flat(), []);
      }
    }),
  );
}

test(
  'What Docker keeps apart stays apart, and an unpublished port is reached on its own network alone',
  hosts.options,
  hosts.on(async (all) => {
    const { a, b, c } = all;
    const { consumers, own } = await sceneOn(a, all);
    const at = (what: string): Consumer => {
      const found = consumers.find((consumer) => consumer.what === what);
      if (found === undefined) throw new Error(`no consumer is ${what}`);
      return found;
    };
    const seenBy = async ({ host, place }: Pick<Consumer, 'host' | 'place'>, address: string) => {
      const { replies, error } = await connectOften(host, place, [address, OWN.tcp], { count: 1 });
      return Object.keys(replies)[0] ?? error.replace(/ at .*/, '');
    };
    const peer = async (host: Host, network: string): Promise<Pick<Consumer, 'host' | 'place'>> => {
      return {
        host,
        place: { kind: 'exec', id: await host.dockerd.run({ image: 'peer', network }) },
      };
    };
    await a.dockerd.docker('network', 'create', 'isolated');
    await serveFlows(a, {
      ...{ text: 'isolated', ports: [OWN.tcp], publish: [], network: 'isolated' },
      env: { DNS_NAME: '1.isolated.skydns.local', DNS_PORT: `${OWN.tcp}`, ...INTERNAL },
    });
    const neighbour = await peer(a, 'isolated');
    // A record of another host that has the address of a container which publishes nothing.
    const command = ['flow', 'serve', 'stranger', `${OWN.tcp}`];
    const stranger = await addressOf(c, await c.dockerd.run({ image: 'peer', command }));
    await serveFlows(b, {
      ...{ text: 'lure', ports: [OWN.tcp], publish: [`${OWN.tcp}:${OWN.tcp}`] },
      env: { DNS_NAME: '1.lure.skydns.local', DNS_IP: stranger, DNS_VIP: 'auto' },
    });
    await c.dockerd.docker('network', 'create', 'other');
    const onC = await peer(c, 'other');
    const isolated = await virtualAddress(a, 'isolated.skydns.local');
    const lure = await virtualAddress(c, 'lure.skydns.local');
    const [plain, ...seen] = await Promise.all([
      seenBy(at('on another bridge'), own),
      seenBy(at('on another bridge'), isolated),
      seenBy(at('on the same bridge'), isolated),
      seenBy(neighbour, isolated),
      seenBy(onC, stranger),
      seenBy(onC, lure),
    ]);
    const [silence, refusal] = ['Operation in progress', 'Connection refused'];
    assert.equal(plain, silence);
    assert.deepEqual(seen, [refusal, refusal, 'isolated', silence, silence]);
  }),
);
