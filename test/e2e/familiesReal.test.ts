/** Addresses of real Docker containers: IPv4 and IPv6 under one name, and addresses without a port. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { dig } from '../support/dig.ts';
import { answers, explains, run, useServedDocker } from '../support/servedDocker.ts';

const docker = useServedDocker();

test(
  'A dual-stack container has A and AAAA records under one name and is a single SRV target',
  docker.options,
  docker.on(async (served) => {
    const { dockerd } = served;
    const subnets = ['--subnet', '10.79.0.0/24', '--ipv6', '--subnet', 'fd93::/64'];
    await dockerd.docker('network', 'create', ...subnets, 'dual');
    await dockerd.docker('network', 'create', '--subnet', '10.80.0.0/24', 'single');
    const internal = { DNS_MODE: 'internal', DNS_PORT: '8080' };
    await run(served, 'both', { network: 'dual', env: internal });
    const name = 'both.skydns.local';
    await answers(served, 'A', name, ['10.79.0.2']);
    await answers(served, 'AAAA', name, ['fd93::2']);
    await answers(served, 'SRV', name, [`10 100 8080 ${name}.`]);
    await explains(served, 'both', / {2}both\.skydns\.local\. -> \[fd93::2\]:8080 {2}in DNS\n/);
    const auto = { DNS_SERVICE: 'many', DNS_INSTANCE: 'auto', ...internal };
    for (const network of ['dual', 'single']) await dockerd.run({ network, env: auto });
    await answers(served, 'A', 'many.skydns.local', ['10.79.0.3', '10.80.0.2']);
    await answers(served, 'AAAA', '1.many.skydns.local', ['fd93::3']);
    // From two address families to one and back, by changing networks.
    await dockerd.docker('network', 'connect', 'single', 'both');
    await dockerd.docker('network', 'disconnect', 'dual', 'both');
    await answers(served, 'A', name, ['10.80.0.3']);
    await answers(served, 'AAAA', name, []);
    await dockerd.docker('network', 'connect', 'dual', 'both');
    await dockerd.docker('network', 'disconnect', 'single', 'both');
    await answers(served, 'AAAA', name, ['fd93::2']);
    await answers(served, 'A', name, ['10.79.0.2']);
  }),
);

test(
  'A container without a port in internal mode has A and AAAA records and no SRV record',
  docker.options,
  docker.on(async (served) => {
    const { dockerd } = served;
    const subnets = ['--subnet', '10.79.0.0/24', '--ipv6', '--subnet', 'fd93::/64'];
    await dockerd.docker('network', 'create', ...subnets, 'dual');
    await run(served, 'alone', { network: 'dual', env: { DNS_MODE: 'internal' } });
    await answers(served, 'A', 'alone.skydns.local', ['10.79.0.2']);
    await answers(served, 'AAAA', 'alone.skydns.local', ['fd93::2']);
    const { status, answer } = await dig(served.dns, 'SRV', 'alone.skydns.local');
    assert.deepEqual([status, answer], ['NOERROR', []]);
    await explains(served, 'alone', / {2}alone\.skydns\.local\. -> 10\.79\.0\.2 {2}in DNS\n/);
  }),
);
