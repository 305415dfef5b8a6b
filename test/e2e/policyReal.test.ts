/** Real Docker containers that claim names and addresses which the operator or soradns does not allow. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { spawnCli } from '../support/cli.ts';
import { useDockerd } from '../support/dockerTest.ts';
import { startFollowing } from '../support/followed.ts';
import { answers, explains, run, type ServedDocker } from '../support/servedDocker.ts';

const docker = useDockerd();
const PROJECT = 'com.docker.compose.project';

/** Runs the body with this file's dockerd and a server with these options. */
function served(options: readonly string[], body: (served: ServedDocker) => Promise<void>) {
  return docker.on(async (dockerd) => {
    const { server, dns, http } = await startFollowing(dockerd, ...options);
    try {
      await body({ dockerd, dns, http: `http://${http}` });
    } finally {
      await server.end();
    }
  });
}

test(
  '--register-allow with {project} allows a project its own names, and explain gives the reason for the others',
  docker.options,
  served(['--register-allow', '**.{project}.skydns.local'], async (one) => {
    const { dockerd } = one;
    const labels = { [PROJECT]: 'shop', 'com.docker.compose.service': 'web' };
    const env = { DNS_NAME: 'web.shop.skydns.local,db.bank.skydns.local' };
    await dockerd.run({ name: 'shop-web', labels, env, publish: ['18501:80'] });
    await answers(one, 'SRV', 'web.shop.skydns.local', ['10 100 18501 web.shop.skydns.local.']);
    await explains(
      one,
      'shop-web',
      /1 of 1 records in DNS[\s\S]*refused: db\.bank\.skydns\.local is none of the names that containers may have \(--register-allow: \*\*\.shop\.skydns\.local\): choose one of these, or add it with --register-allow/,
    );
    await answers(one, 'A', 'db.bank.skydns.local', []);
    await run(one, 'stranger', { publish: ['18502:80'] });
    await explains(
      one,
      'stranger',
      /0 of 0 records in DNS\n\s+refused: stranger\.skydns\.local is none of the names .*: start it with Compose, or label it dns\.project=NAME/,
    );
  }),
);

test(
  '--register-project-scope keeps automatic names and refuses names outside the project',
  docker.options,
  served(['--register-project-scope'], async (one) => {
    const labels = {
      [PROJECT]: 'shop',
      'com.docker.compose.service': 'web',
      'com.docker.compose.container-number': '1',
      'dns.enable': 'true',
    };
    await one.dockerd.run({ name: 'shop-web-1', labels, publish: ['18511:80'] });
    await answers(one, 'SRV', 'web.shop.skydns.local', ['10 100 18511 1.web.shop.skydns.local.']);
    await run(one, 'db.bank', { labels: { [PROJECT]: 'shop' }, publish: ['18512:80'] });
    await explains(
      one,
      'db.bank',
      /refused: db\.bank\.skydns\.local is outside shop\.skydns\.local, to which --register-project-scope confines project shop/,
    );
    await run(one, 'db.shop', { labels: { 'dns.project': 'shop' }, publish: ['18513:80'] });
    await answers(one, 'SRV', 'db.shop.skydns.local', ['10 100 18513 db.shop.skydns.local.']);
  }),
);

test(
  '--register-dns-ip-allow accepts a DNS_IP in its networks and refuses other addresses',
  docker.options,
  served(['--register-dns-ip-allow', '10.0.0.0/8'], async (one) => {
    const publish = ['18521:80'];
    await run(one, 'inside', { env: { DNS_IP: '10.9.8.7' }, publish });
    await answers(one, 'A', 'inside.skydns.local', ['10.9.8.7']);
    await run(one, 'outside', { env: { DNS_IP: '8.8.8.8' }, publish: ['18522:80'] });
    await explains(
      one,
      'outside',
      /refused: outside\.skydns\.local states the address 8\.8\.8\.8, which is outside --register-dns-ip-allow \(10\.0\.0\.0\/8\)/,
    );
    await answers(one, 'A', 'outside.skydns.local', []);
  }),
);

test(
  'No container gets wpad, isatap, localhost, a foreign ACME challenge name, or a name below one',
  docker.options,
  served([], async (one) => {
    await run(one, 'web', { publish: ['18531:80'] });
    const env = {
      DNS_NAME: 'wpad,x.wpad,isatap,localhost,_acme-challenge.web,x._acme-challenge.web,mine',
    };
    await one.dockerd.run({ name: 'attacker', env, publish: ['18532:80'] });
    await answers(one, 'SRV', 'mine.skydns.local', ['10 100 18532 mine.skydns.local.']);
    await answers(one, 'SRV', 'web.skydns.local', ['10 100 18531 web.skydns.local.']);
    for (const name of ['wpad', 'isatap', 'localhost', '_acme-challenge.web'])
      await answers(one, 'A', `${name}.skydns.local`, []);
    for (const refused of [
      /refused: wpad\.skydns\.local has the label wpad, from which browsers take their proxy/,
      /refused: x\.wpad\.skydns\.local has the label wpad/,
      /refused: _acme-challenge\.web\.skydns\.local would get certificates for web\.skydns\.local, which is not a name of this container/,
      /refused: x\._acme-challenge\.web\.skydns\.local would get certificates for web\.skydns\.local/,
    ])
      await explains(one, 'attacker', refused);
    await one.dockerd.docker('rm', '--force', 'web');
    await run(one, 'web', {
      env: { DNS_NAME: 'web,_acme-challenge.web', DNS_TEXT: 'proof' },
      publish: ['18533:80'],
    });
    await answers(one, 'TXT', '_acme-challenge.web.skydns.local', ['"proof"']);
    await answers(one, 'A', 'web.skydns.local', [one.dockerd.address]);
    const args = ['set', 'wpad.skydns.local', '--host', '192.0.2.9', '--store', one.http];
    const { code, stderr } = await spawnCli(args, {});
    assert.equal(code, 0, stderr);
    await answers(one, 'A', 'wpad.skydns.local', ['192.0.2.9']);
  }),
);
