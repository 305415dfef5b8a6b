/** Real engines that share an id, as on cloned machines, and a real engine whose id changes. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import test, { after, afterEach, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { callCli } from '../support/cli.ts';
import { type CliProcess, startCli } from '../support/cliProcess.ts';
import { type Dockerd, startDockerd } from '../support/dockerd.ts';
import { dockerSkipReason } from '../support/dockerTest.ts';
import { hostAt, readyz, recordAt } from '../support/registrarProcesses.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';

const skip = dockerSkipReason();
const options = skip === undefined ? {} : { skip };

/** Long enough for a registrar to restart and adopt its lease. */
const LEASE_SECONDS = 30;
const SHORT_LEASE_SECONDS = 10;
const TIMEOUT_MS = 30_000;
const POLL_MS = 50;

/** A host whose Docker engine has the same id as the other hosts' engines. */
interface Site {
  readonly dockerd: Dockerd;
  readonly name: string;
  readonly key: string;
}

let folder: string;
let sites: readonly [Site, Site];
let server: TestServer;
let store: string;
const dockerds: Dockerd[] = [];
/** Processes that a failed test leaves running. */
const running = new Set<CliProcess>();
const watches = new Set<AbortController>();

before(async () => {
  if (skip !== undefined) return;
  folder = await newTempDir();
  // The first engine creates the key file and the second one reuses it, as on cloned machines.
  sites = [await startSite('web-a'), await startSite('web-b')];
  server = await startTestServer({});
  store = `http://${server.http?.address}:${server.http?.port}`;
});

afterEach(async () => {
  for (const watching of watches) watching.abort();
  await Promise.all([...running].map((child) => end(child, 'SIGKILL')));
  // The loop keeps the rest of /skydns, because the configuration is stored there.
  for (const tree of ['skydns/local', 'skydns/example', 'registrar']) {
    const url = `${store}/v2/keys/${tree}?recursive=true`;
    const { status } = await fetch(url, { method: 'DELETE' });
    assert.ok(status === 200 || status === 404, `${status}`);
  }
});

after(async () => {
  await server?.close();
  await Promise.all(dockerds.map((dockerd) => dockerd.stop()));
  if (folder !== undefined) await removeDir(folder);
});

function keyFile(): string {
  return join(folder, 'key.json');
}

async function startSite(name: string): Promise<Site> {
  const config = { 'deprecated-key-path': keyFile() };
  const dockerd = await startDockerd({ liveRestore: true, config });
  dockerds.push(dockerd);
  await dockerd.run({ name, env: { DNS_NAME: name }, publish: ['8080:80'] });
  return { dockerd, name, key: `/skydns/local/skydns/${name}` };
}

function register({ dockerd }: Site, leaseSeconds: number, ...more: readonly string[]): CliProcess {
  const args = [
    ...['register', '--docker-host', dockerd.host, '--store', store, '--ip', dockerd.address],
    ...['--http', '127.0.0.1:0', '--lease-ttl', String(leaseSeconds), ...more],
  ];
  const registrar = startCli(args);
  running.add(registrar);
  return registrar;
}

async function end(registrar: CliProcess, signal: NodeJS.Signals): Promise<void> {
  running.delete(registrar);
  await registrar.end(signal);
}

async function httpOf(registrar: CliProcess): Promise<string> {
  return `http://${(await registrar.logged('registering')).http}`;
}

function isServed({ dockerd, key }: Site): Promise<void> {
  const isThere = async () => (await hostAt(store, key)) === dockerd.address;
  return until(`the store has ${key}`, isThere, TIMEOUT_MS);
}

/** Polls a name; `end` returns how often it was missing. */
function watch({ dockerd, key }: Site): { end(): Promise<number> } {
  const abort = new AbortController();
  watches.add(abort);
  const watching = (async () => {
    let missing = 0;
    while (!abort.signal.aborted) {
      if ((await hostAt(store, key)) !== dockerd.address) missing++;
      await sleep(POLL_MS);
    }
    return missing;
  })();
  return {
    end() {
      abort.abort();
      return watching;
    },
  };
}

const idOf = ({ dockerd }: Site): Promise<string> => dockerd.docker('info', '--format', '{{.ID}}');

test(
  'Two hosts with the same engine id both keep their names in the store, and both registrars report the duplicate id',
  options,
  async () => {
    const id = await idOf(sites[0]);
    assert.equal(await idOf(sites[1]), id);
    const registrars = [];
    for (const site of sites) {
      registrars.push(register(site, LEASE_SECONDS));
      await isServed(site);
    }
    for (const registrar of registrars) {
      const isReported = () => registrar.lines().some(({ msg }) => String(msg).includes(id));
      await until('the registrar reports the duplicate id', isReported, TIMEOUT_MS);
      const line = registrar.lines().find(({ msg }) => String(msg).includes(id));
      assert.equal(line?.level, 'warn');
      const http = await httpOf(registrar);
      const ready = await readyz(http);
      assert.match(ready, /^200 ok\nwarning: two Docker engines have the same id/);
      const env = { SORADNS_REGISTRAR: http };
      const status = (await callCli(['registrar', 'status'], { env })).stdout;
      const explained = (await callCli(['registrar', 'explain', 'web-a'], { env })).stdout;
      for (const { dockerd } of sites)
        for (const text of [ready, status]) assert.ok(text.includes(dockerd.address), text);
      const doctor = await callCli(['doctor', '--http', http.replace('http://', '')]);
      assert.match(doctor.stdout, /^warning +registrar +two Docker engines have the same id/m);
      assert.match(status, /^role {4}writing$/m);
      assert.match(
        status,
        /warning: two Docker engines .* sudo rm -f \S+\/engine-id \/etc\/docker\/key\.json/,
      );
      assert.doesNotMatch(`${status}${explained}`, /waits to be written|standby/);
    }
  },
);

test(
  'A registrar that is killed for longer than its lease loses its own names and no other host’s names',
  options,
  async () => {
    const [a, b] = sites;
    const first = register(a, SHORT_LEASE_SECONDS);
    register(b, SHORT_LEASE_SECONDS);
    await Promise.all([isServed(a), isServed(b)]);
    const watched = watch(b);
    await end(first, 'SIGKILL');
    const isGone = async () => (await hostAt(store, a.key)) === undefined;
    await until('the killed registrar’s lease has expired', isGone, TIMEOUT_MS);
    const again = register(a, SHORT_LEASE_SECONDS);
    await isServed(a);
    assert.equal((await again.logged('the lease is held')).isAdopted, false);
    await sleep(SHORT_LEASE_SECONDS * 1000);
    assert.equal(await watched.end(), 0);
  },
);

for (const signal of ['SIGKILL', 'SIGINT'] as const)
  test(
    `Registrars of engines with the same id keep every name when ${signal} restarts them in turn`,
    options,
    async () => {
      const registrars = sites.map((site) => register(site, LEASE_SECONDS));
      await Promise.all(sites.map(isServed));
      const written = await Promise.all(sites.map(({ key }) => recordAt(store, key)));
      const watched = sites.map(watch);
      for (const at of [0, 1, 1, 0]) {
        const site = sites[at] ?? assert.fail();
        await end(registrars[at] ?? assert.fail(), signal);
        const next = register(site, LEASE_SECONDS);
        assert.equal((await next.logged('the lease is held')).isAdopted, true);
        registrars[at] = next;
      }
      assert.deepEqual(await Promise.all(watched.map((one) => one.end())), [0, 0]);
      const kept = await Promise.all(sites.map(({ key }) => recordAt(store, key)));
      assert.deepEqual(kept, written, 'the records were written again');
    },
  );

test(
  'Two registrars of one engine with different zones both write, and the names of the second outlive the first',
  options,
  async () => {
    const [a] = sites;
    const named = { a: 'web.a.example', b: 'web.b.example' };
    for (const name of Object.values(named))
      await a.dockerd.run({ env: { DNS_NAME: name, DNS_PORT: '0' } });
    const inZone = (zone: string) =>
      register(a, SHORT_LEASE_SECONDS, '--zone', zone, '--mode', 'internal');
    const [first, second] = [inZone('a.example'), inZone('b.example')];
    const isThere = (zone: string) => async () =>
      (await hostAt(store, `/skydns/example/${zone}/web`)) !== undefined;
    for (const zone of ['a', 'b'])
      await until(`the store has the name in zone ${zone}`, isThere(zone), TIMEOUT_MS);
    assert.equal(await readyz(await httpOf(second)), '200 ok');
    await end(first, 'SIGINT');
    const written = await recordAt(store, '/skydns/example/a/web');
    await sleep(1_000);
    assert.deepEqual(await recordAt(store, '/skydns/example/a/web'), written);
    const isGone = async () => !(await isThere('a')());
    await until('the first registrar’s lease has expired', isGone, TIMEOUT_MS);
    assert.ok(await isThere('b')());
  },
);

test(
  'The registrar keeps the names of an engine whose id changes without a gap',
  options,
  async () => {
    const [, b] = sites;
    const before = await idOf(b);
    const registrar = register(b, SHORT_LEASE_SECONDS);
    await isServed(b);
    const watched = watch(b);
    await b.dockerd.terminate();
    rmSync(keyFile());
    await b.dockerd.start();
    const changed = await registrar.logged("Docker's engine id, host name or data folder changed");
    assert.deepEqual([changed.from, changed.to], [before, await idOf(b)]);
    const isRewritten = async () => {
      const { node } = (await (await fetch(`${store}/v2/keys${b.key}`)).json()) as {
        node: { value: string };
      };
      return String(JSON.parse(node.value).owner.r).startsWith(String(changed.to));
    };
    await until('the record has the new id', isRewritten, TIMEOUT_MS);
    await sleep(SHORT_LEASE_SECONDS * 1000);
    assert.equal(await watched.end(), 0);
    await end(registrar, 'SIGKILL');
  },
);
