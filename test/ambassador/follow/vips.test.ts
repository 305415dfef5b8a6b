import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { isInRange, vipRangeOf } from '../../../src/ambassador/vipRange.ts';
import { printName } from '../../../src/dns/name.ts';
import { createMemoryStore } from '../../../src/store/embedded/memoryStore.ts';
import { type Store, StoreError } from '../../../src/store/store.ts';
import { until } from '../../support/until.ts';
import { VipHost, type VipHostOptions } from '../../support/vipHost.ts';
import { name } from '../../support/zone.ts';

const WEB = 'web.skydns.local';

function open(context: TestContext) {
  const store = createMemoryStore({ revision: 1 });
  context.after(() => store.close());
  const start = (options: Partial<VipHostOptions> = {}): VipHost => {
    const host = new VipHost({ store, ...options });
    context.after(() => host.close());
    return host;
  };
  return { store, start };
}

/** Writes a record of an instance: `path` is its labels from the root, without the domain. */
function register(store: Store, path: string, value: object): Promise<unknown> {
  return store.put(`/skydns/local/skydns/${path}`, Buffer.from(JSON.stringify(value)));
}

/** The store with another `put`. */
function withPut(store: Store, put: Store['put']): Store {
  return new Proxy(store, {
    get(target, key) {
      if (key === 'put') return put;
      const value = Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** The names with their addresses in the store. */
async function claimed(store: Store): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const { entries } of store.snapshot('/skydns-vip/'))
    for (const { key, value } of entries) {
      const { name: text } = JSON.parse(Buffer.from(value).toString());
      found[text.replace(/\.$/, '')] = key.slice('/skydns-vip/'.length);
    }
  return found;
}

async function addressOf(store: Store, text: string): Promise<string> {
  await until(`${text} has a virtual address`, async () => text in (await claimed(store)));
  return (await claimed(store))[text] as string;
}

test('A name whose instance asks for a virtual address gets one, with the ports of its instances', async (context) => {
  const { store, start } = open(context);
  const host = start();
  await register(store, 'web/1', { host: '10.0.0.1', port: 49_153, expose: 80, vip: 'auto' });
  const address = await addressOf(store, WEB);
  await register(store, 'web/2', { host: '10.0.0.2', port: 49_200, expose: 80 });
  await register(store, 'web/3', { host: '10.0.0.2', port: 53, expose: '53/udp' });
  await host.routes({
    [`${address} 53/udp`]: '10.0.0.2:53',
    [`${address} 80/tcp`]: '10.0.0.1:49153 10.0.0.2:49200',
  });
});

test('A virtual address stays when the last instance of its name has gone', async (context) => {
  const { store, start } = open(context);
  const host = start();
  const record = { host: '10.0.0.1', port: 49_153, expose: 80, vip: 'auto' };
  await register(store, 'web/1', record);
  const address = await addressOf(store, WEB);
  await store.delete('/skydns/local/skydns/web/1');
  await host.routes({});
  await register(store, 'web/9', { ...record, host: '10.0.0.9' });
  await host.routes({ [`${address} 80/tcp`]: '10.0.0.9:49153' });
  assert.deepEqual(await claimed(store), { [WEB]: address });
});

test('Instances with different own ports serve one port of the virtual address if they ask for it', async (context) => {
  const { store, start } = open(context);
  const host = start();
  const asked = { port: 49_153, vip: 'auto', vipPort: '80' };
  await register(store, 'web/1', { host: '10.0.0.1', expose: 8080, ...asked });
  await register(store, 'web/2', { host: '10.0.0.2', expose: 9090, ...asked });
  const address = await addressOf(store, WEB);
  await host.routes({ [`${address} 80/tcp`]: '10.0.0.1:49153 10.0.0.2:49153' });
});

test('Two hosts that claim addresses for 200 new names at once give each name one address of its own', async (context) => {
  const { store, start } = open(context);
  const hosts = [start(), start()];
  const names = Array.from({ length: 200 }, (_, i) => `web${i}`);
  await Promise.all(
    names.map((label) =>
      register(store, `${label}/1`, { host: '10.0.0.1', port: 80, vip: 'auto' }),
    ),
  );
  await until('every name has an address', async () => {
    return Object.keys(await claimed(store)).length === names.length;
  });
  const addresses = Object.values(await claimed(store));
  assert.equal(new Set(addresses).size, names.length);
  let keys = 0;
  for await (const { entries } of store.snapshot('/skydns-vip/')) keys += entries.length;
  assert.equal(keys, names.length);
  for (const host of hosts)
    await until('each address is routed', () => Object.keys(host.routed).length === names.length);
});

test('A host claims for the containers of another host only after that host had the time to', async (context) => {
  const { store, start } = open(context);
  const other = start({ isLocal: () => false });
  await register(store, 'web/1', { host: '10.0.0.1', port: 80, vip: 'auto' });
  const own = start();
  await addressOf(store, WEB);
  assert.deepEqual(
    [own, other].map(({ events }) => events.length),
    [1, 0],
  );
});

test('A name gets the address that its instance asks for, unless another name has it or it is outside the range', async (context) => {
  const { store, start } = open(context);
  const host = start();
  const ask = (path: string, vip: string) =>
    register(store, path, { host: '10.0.0.1', port: 80, vip });
  await ask('web/1', '198.18.255.7');
  assert.equal(await addressOf(store, WEB), '198.18.255.7');
  await ask('api/1', '198.18.255.7');
  await ask('db/1', '203.0.113.1');
  await until('both refusals are reported', () => host.events.length === 3);
  const refusals = host.events.flatMap((event) =>
    event.kind === 'refused' ? [`${printName(event.name)} ${event.reason}`] : [],
  );
  assert.deepEqual(refusals, [
    'api.skydns.local. 198.18.255.7 is taken by web.skydns.local.',
    'db.skydns.local. 203.0.113.1 is outside the range of virtual addresses',
  ]);
  assert.deepEqual(await claimed(store), { [WEB]: '198.18.255.7' });
  assert.match(host.reasonOf('api.skydns.local') ?? '', /^198\.18\.255\.7 is taken by web/);
  await store.delete('/skydns/local/skydns/web/1');
  await store.delete('/skydns-vip/198.18.255.7');
  assert.equal(await addressOf(store, 'api.skydns.local'), '198.18.255.7');
  assert.equal(host.reasonOf('api.skydns.local'), undefined);
});

test('A name for which no address is left is reported once, and gets one when an address is released', async (context) => {
  const { store, start } = open(context);
  const range = '10.9.8.0/24';
  const given = vipRangeOf({ address: '10.9.8.0', prefixLength: 24 });
  for (let last = 1; last < 255; last++) {
    const value = Buffer.from(JSON.stringify({ name: `taken${last}.skydns.local` }));
    await store.put(`/skydns-vip/10.9.8.${last}`, value);
  }
  const host = start({ range });
  await register(store, 'web/1', { host: '10.0.0.1', port: 80, vip: 'auto' });
  await until('the range is full', () => host.events.length === 1);
  assert.equal(host.events[0]?.kind, 'exhausted');
  assert.equal(host.reasonOf(WEB), 'the range of virtual addresses is full');
  assert.equal(host.isExhausted, true);
  await store.delete('/skydns-vip/10.9.8.77');
  const address = await addressOf(store, WEB);
  assert.equal(address, '10.9.8.77');
  assert.ok(isInRange(given, address));
  await until('the range is not full for any name', () => !host.isExhausted);
  assert.equal(host.reasonOf(WEB), undefined);
  assert.deepEqual(
    host.events.map(({ kind }) => kind),
    ['exhausted', 'claimed'],
  );
});

test('A name that has an IPv6 address still gets its IPv4 address when one is released', async (context) => {
  const { store, start } = open(context);
  const taken = '198.18.255.7';
  await store.put(`/skydns-vip/${taken}`, Buffer.from('{"name":"other.skydns.local"}'));
  for (const last of [1, 2])
    await store.put(`/skydns-vip/10.9.8.${last}`, Buffer.from(`{"name":"t${last}.skydns.local"}`));
  const ask = (vip: string) => register(store, 'web/1', { host: '10.0.0.1', port: 80, vip });
  await ask(taken);
  for (const range of ['198.18.0.0/16', '10.9.8.0/30']) {
    const host = start({ range, range6: 'fd53:6f72::/64' });
    const isFixed = range.startsWith('198.');
    if (!isFixed) await ask('auto');
    const has6 = () => host.virtualAddresses.addressOf(name(WEB), 6) !== undefined;
    await until('it has an IPv6 address', has6);
    await until('the failure is known', () => host.reasonOf(WEB) !== undefined);
    assert.deepEqual([host.isExhausted, host.reasonOf(WEB, 6)], [!isFixed, undefined]);
    const released = isFixed ? taken : '10.9.8.1';
    await store.delete(`/skydns-vip/${released}`);
    const has4 = () => host.virtualAddresses.addressOf(name(WEB), 4) === released;
    await until('it has the IPv4 address', has4);
    assert.deepEqual([host.isExhausted, host.reasonOf(WEB)], [false, undefined]);
    host.close();
  }
});

test('With an address for all, every service that names a port gets one, except one that says none', async (context) => {
  const { store, start } = open(context);
  start({ isForAll: true });
  await register(store, 'web/1', { host: '10.0.0.1', port: 80, expose: 80 });
  await register(store, 'api/1', { host: '10.0.0.1', port: 80, expose: 80, vip: 'none' });
  await register(store, 'plain', { host: '10.0.0.1', port: 80 });
  await addressOf(store, WEB);
  assert.deepEqual(Object.keys(await claimed(store)), [WEB]);
});

test('With an address for all, a name gets it without its instance, and never the domain itself', async (context) => {
  const { store, start } = open(context);
  start({ isForAll: true });
  const record = { host: '10.0.0.1', port: 80, expose: 80 };
  await register(store, 'alone', record);
  await register(store, 'both/1/ipv4', { ...record, targetstrip: 1 });
  await register(store, 'both/1/ipv6', { ...record, host: 'fd00::1', targetstrip: 1 });
  await register(store, 'named/1', { ...record, vipName: 'other.skydns.local' });
  await register(store, 'web/1', record);
  await addressOf(store, WEB);
  const expected = ['alone', 'both', 'other', 'web'].map((label) => `${label}.skydns.local`);
  const isAll = async () => Object.keys(await claimed(store)).length >= expected.length;
  await until('every name has an address', isAll);
  assert.deepEqual(Object.keys(await claimed(store)).sort(), expected);
});

test('A claim that fails is made again', async (context) => {
  const { store, start } = open(context);
  let failures = 0;
  const failing = withPut(store, (...args) =>
    failures++ < 2 ? Promise.reject(new StoreError('unavailable', 'down')) : store.put(...args),
  );
  const host = start({ store: failing });
  await register(store, 'web/1', { host: '10.0.0.1', port: 80, vip: 'auto' });
  await addressOf(store, WEB);
  assert.deepEqual(
    host.events.map(({ kind }) => kind),
    ['failed', 'failed', 'claimed'],
  );
});

test('A name that asks for another address while the store decides about the first gets the other one', async (context) => {
  const { store, start } = open(context);
  const [taken, free] = ['198.18.255.7', '198.18.255.8'];
  await store.put(`/skydns-vip/${taken}`, Buffer.from('{"name":""}'));
  let decide = (): void => {};
  const decided = new Promise<void>((resolve) => {
    decide = resolve;
  });
  const asked: string[] = [];
  const slow = withPut(store, async (...args) => {
    asked.push(args[0]);
    const result = await store.put(...args);
    await decided;
    return result;
  });
  const host = start({ store: slow });
  await register(store, 'web/1', { host: '10.0.0.1', port: 80, vip: taken });
  await until('the first is asked for', () => asked.length === 1);
  await register(store, 'web/1', { host: '10.0.0.1', port: 81, vip: free });
  await until('the host knows the other', () => host.requestOf(WEB)?.fixed === free);
  decide();
  assert.equal(await addressOf(store, WEB), free);
});

test('Of two addresses of one name the older one stands and is routed', async (context) => {
  const { store, start } = open(context);
  for (const last of [5, 4])
    await store.put(`/skydns-vip/198.18.0.${last}`, Buffer.from(JSON.stringify({ name: WEB })));
  await register(store, 'web/1', { host: '10.0.0.1', port: 80 });
  const host = start();
  await host.routes({ '198.18.0.5 80/tcp': '10.0.0.1:80' });
  assert.equal(host.virtualAddresses.addressOf(name(WEB), 4), '198.18.0.5');
});

test('The ports that an operator gave an address lead to the own ports that they name', async (context) => {
  const { store, start } = open(context);
  const value = { name: WEB, ports: ['8080=80', '53/udp', 'nonsense'] };
  await store.put('/skydns-vip/198.18.0.5', Buffer.from(JSON.stringify(value)));
  await register(store, 'web/1', { host: '10.0.0.1', port: 80 });
  const host = start();
  await host.routes({
    '198.18.0.5 53/udp': '',
    '198.18.0.5 80/tcp': '10.0.0.1:80',
    '198.18.0.5 8080/tcp': '10.0.0.1:80',
  });
});

test('An address outside the range stands for no name, and a name that has only such a one gets another', async (context) => {
  const { store, start } = open(context);
  for (const address of ['10.9.8.1', '127.0.0.1', '::1'])
    await store.put(`/skydns-vip/${address}`, Buffer.from(JSON.stringify({ name: WEB })));
  const host = start();
  await register(store, 'web/1', { host: '10.0.0.1', port: 80, vip: 'auto' });
  await until('a name has an address', () => host.events.length === 1);
  const [claim] = host.events;
  assert.ok(claim?.kind === 'claimed' && claim.address.startsWith('198.18.'));
  await host.routes({ [`${claim.address} 80/tcp`]: '10.0.0.1:80' });
  assert.equal(host.virtualAddresses.addressOf(name(WEB), 4), claim.address);
  assert.equal(host.virtualAddresses.addressOf(name(WEB), 6), undefined);
});
