/** Real Docker containers that are not registered as intended: explain gives the reason and a fix that works. */
import { execFileSync } from 'node:child_process';
import test from 'node:test';
import { answers, explains, run, useServedDocker } from '../support/servedDocker.ts';

const docker = useServedDocker();

test(
  'A container with a public port and a port on 127.0.0.1 has a record of the public port, and explain names the other port',
  docker.options,
  docker.on(async (served) => {
    const publish = ['18100:80', '127.0.0.1:18101:9000'];
    await run(served, 'debugged', { publish });
    await answers(served, 'SRV', 'debugged.skydns.local', ['10 100 18100 debugged.skydns.local.']);
    await explains(
      served,
      'debugged',
      /1 of 1 records in DNS\n[\s\S]*hint: port 9000\/tcp has no record: it is published at 127\.0\.0\.1:18101, which only this host can reach: publish it on another address/,
    );
  }),
);

test(
  'explain names the port that is not registered when a port is published twice or for both TCP and UDP',
  docker.options,
  docker.on(async (served) => {
    await run(served, 'twice', { publish: ['18084:80', '18085:80'] });
    await run(served, 'mixed', { publish: ['18087:53', '18088:53/udp'] });
    await explains(served, 'twice', /host port 18084 is registered, and 18085 is not/);
    await explains(served, 'mixed', /port 53\/udp, at host port 18088, is not registered/);
  }),
);

test(
  'explain gives a fix for a published port on an internal, macvlan or none network, and DNS_MODE=internal works on the first two',
  docker.options,
  docker.on(async (served) => {
    const { dockerd } = served;
    const onHost = (...command: string[]): void => {
      const [program, ...args] = dockerd.onHost(...command);
      execFileSync(program, args, { stdio: 'pipe' });
    };
    await dockerd.docker('network', 'create', '--internal', '--subnet', '10.78.0.0/24', 'int1');
    onHost('ip', 'link', 'add', 'mv0', 'type', 'veth', 'peer', 'name', 'mv1');
    onHost('ip', 'link', 'set', 'mv0', 'up');
    const macvlan = ['--driver', 'macvlan', '--opt', 'parent=mv0', '--subnet', '10.77.0.0/24'];
    await dockerd.docker('network', 'create', ...macvlan, 'mac1');
    try {
      const publish = ['18301:8080'];
      for (const network of ['int1', 'mac1']) {
        const reason = `it waits for port 8080/tcp to be published: internal, macvlan and ipvlan networks publish none; if ${network} is one of these, use DNS_MODE=internal`;
        await run(served, `${network}-a`, { network, publish });
        await explains(served, `${network}-a`, new RegExp(reason));
        await run(served, `${network}-b`, { network, publish, env: { DNS_PORT: '8080' } });
        await explains(served, `${network}-b`, new RegExp(reason));
        await run(served, `${network}-c`, { network, publish, env: { DNS_MODE: 'internal' } });
        const subnet = network === 'int1' ? '10.78.0' : '10.77.0';
        await answers(served, 'SRV', `${network}-c.skydns.local`, [
          `10 100 8080 ${network}-c.skydns.local.`,
        ]);
        await answers(served, 'A', `${network}-c.skydns.local`, [`${subnet}.4`]);
      }
      await run(served, 'cut-off', { network: 'none', publish });
      await explains(
        served,
        'cut-off',
        /refused: cut-off\.skydns\.local is on the network none, which publishes no port, 8080\/tcp included: put it on another network/,
      );
    } finally {
      await dockerd.clear();
      onHost('ip', 'link', 'del', 'mv0');
    }
  }),
);

test(
  'explain asks for DNS_PORT on the host network, and DNS_PORT or -p selects the port',
  docker.options,
  docker.on(async (served) => {
    const network = 'host';
    await run(served, 'portless', { network });
    await explains(
      served,
      'portless',
      /exposes no port on the host's network: set DNS_PORT to the port that it listens on, as in DNS_PORT=3000/,
    );
    await run(served, 'explicit', { network, env: { DNS_PORT: '3000' } });
    await answers(served, 'SRV', 'explicit.skydns.local', ['10 100 3000 explicit.skydns.local.']);
    await run(served, 'published', { network, publish: ['3001:3001'], args: ['--expose', '8080'] });
    await answers(served, 'SRV', 'published.skydns.local', ['10 100 3001 published.skydns.local.']);
    await explains(served, 'published', /hint: on the host's network only the ports of -p/);
  }),
);

test(
  'The first replica with a DNS_NAME holds the name, and explain shows how the other replicas can share it',
  docker.options,
  docker.on(async (served) => {
    const { dockerd } = served;
    const env = { DNS_NAME: 'web.skydns.local' };
    await dockerd.run({ name: 'web-1', env, publish: ['18401:80'] });
    await answers(served, 'SRV', 'web.skydns.local', ['10 100 18401 web.skydns.local.']);
    await dockerd.run({ name: 'web-2', env, publish: ['18402:80'] });
    await explains(
      served,
      'web-2',
      /not in DNS: held by container [0-9a-f]{12} of this engine; to put several containers under one name, set DNS_INSTANCE=auto beside DNS_NAME/,
    );
    await dockerd.docker('rm', '--force', 'web-1', 'web-2');
    const numbered = { ...env, DNS_INSTANCE: 'auto' };
    await dockerd.run({ env: numbered, publish: ['18401:80'] });
    await answers(served, 'SRV', 'web.skydns.local', ['10 100 18401 1.web.skydns.local.']);
    await dockerd.run({ env: numbered, publish: ['18402:80'] });
    await answers(served, 'SRV', 'web.skydns.local', [
      '10 50 18401 1.web.skydns.local.',
      '10 50 18402 2.web.skydns.local.',
    ]);
  }),
);

test(
  'The registrar refuses a label spelled as a variable and a variable spelled as a label, and explain gives the right spelling',
  docker.options,
  docker.on(async (served) => {
    await served.dockerd.run({ name: 'labelled', labels: { DNS_NAME: 'x' } });
    await served.dockerd.run({ name: 'set', env: { 'dns.name': 'x' } });
    await explains(served, 'labelled', /refused: DNS_NAME is a label.*: use the label dns\.name\n/);
    await explains(served, 'set', /refused: dns\.name is a variable.*: set DNS_NAME\n/);
  }),
);
