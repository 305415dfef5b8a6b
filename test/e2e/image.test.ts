/**
 * Builds the Dockerfile on stand-ins for its base images and checks the image: it runs without root, writes only to its
 * volume, is healthy when it answers, and stops in time. Then runs the pages' blocks for one host and for two, with
 * only the hosts' addresses and the socket's folder replaced.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test, { after } from 'node:test';
import { promisify } from 'node:util';
import { dig } from '../support/dig.ts';
import { type Dockerd, startDockerd } from '../support/dockerd.ts';
import { useDockerd } from '../support/dockerTest.ts';
import { type Lan, startLan } from '../support/hostNetwork.ts';
import { shellBlocks } from '../support/pages.ts';
import { NGINX_PAGE, standInForPublicImages } from '../support/publicImages.ts';
import { buildImage, PROJECT, standInForBases, standInForEtcd } from '../support/standIns.ts';
import { withTempDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';

let lan: Lan | undefined;
const connection =
  (number: number) =>
  (name: string): ReturnType<ReturnType<Lan['connection']>> => {
    lan ??= startLan();
    return lan.connection(number)(name);
  };
const docker = useDockerd({ connection: connection(11) });
after(() => lan?.stop());

const HARDENED = [
  ...['--read-only', '--cap-drop', 'ALL', '--cap-add', 'NET_BIND_SERVICE'],
  ...['--security-opt', 'no-new-privileges'],
];
/** Options for frequent health checks. The first failed check makes the container unhealthy. */
const WATCHED = ['--health-interval=1s', '--health-start-period=1ms', '--health-retries=1'];
/** Files for development, for npm, and for other systems. */
const TOOLS =
  /\.(ts|map|tgz)$|\/(typescript|tsx|@biomejs|_cacache)\/|(musl|darwin|win32)[^/]*\/?[^/]*\.node$/;
const PUBLISHED = ['53:53/udp', '53:53/tcp'];
const NAME = 'web.skydns.local';
const HEALTHY = /^127\.0\.0\.1:53 REFUSED$/m;
const STARTED_MS = 60_000;

/** Waits until the container has the health status and a check has printed the line. */
async function becomes(
  dockerd: Dockerd,
  container: string,
  status: string,
  line: RegExp,
): Promise<void> {
  const format = '{{.State.Health.Status}}\n{{range .State.Health.Log}}{{.Output}}{{end}}';
  let shown = '';
  const isSo = async (): Promise<boolean> => {
    shown = await dockerd.docker('inspect', '--format', format, container);
    return shown.startsWith(`${status}\n`) && line.test(shown);
  };
  await until(`${container} is ${status}`, isSo, STARTED_MS).catch(async (error) => {
    throw new Error(`${error}\n${shown}\n${await logs(dockerd, container)}`);
  });
}

/** Asserts that the container exits with 0 before Docker would kill it, which is after 10 s. */
async function assertStops(dockerd: Dockerd, container: string): Promise<void> {
  const startedMs = performance.now();
  await dockerd.docker('stop', container);
  assert.ok(performance.now() - startedMs < 9500, 'it was killed');
  const format = '{{.State.ExitCode}}';
  assert.equal(await dockerd.docker('inspect', '--format', format, container), '0');
}

function logs(dockerd: Dockerd, container: string): Promise<string> {
  return dockerd.docker('logs', container);
}

test(
  'The Dockerfile builds a small image with the right user, health check, volume and labels, and exposes no ports',
  docker.options,
  docker.on(async (dockerd) => {
    await buildImage(dockerd.host);
    const [image] = JSON.parse(await dockerd.docker('inspect', 'soradns'));
    assert.equal(image.Config.User, '65532:65532');
    assert.equal(image.Config.Healthcheck.Test[0], 'CMD');
    assert.deepEqual(Object.keys(image.Config.Volumes), ['/var/lib/soradns']);
    // `docker run --link` would give the ports of the image to consumers of `soradns ambassador`.
    assert.equal(image.Config.ExposedPorts ?? undefined, undefined);
    const { version, license } = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8'));
    const label = (name: string) => image.Config.Labels[`org.opencontainers.image.${name}`];
    assert.deepEqual(
      [label('title'), label('version'), label('licenses')],
      ['soradns', version, license],
    );
    const [base] = JSON.parse(
      await dockerd.docker(
        'inspect',
        String(label('base.name')).replace(/^docker.io\/library\//, ''),
      ),
    );
    const mebibytes = (image.Size - base.Size) / 2 ** 20;
    assert.ok(mebibytes < 30, `${mebibytes} MiB above its base`);
  }),
);

test(
  'The image contains no tools, sources or binaries for other systems',
  docker.options,
  docker.on(async (dockerd) => {
    const find = "find / -xdev ! -path '/proc/*' -path '*/soradns/*' -type f";
    const files = await dockerd.docker('run', '--rm', '--entrypoint', 'sh', 'soradns', '-c', find);
    const strange = files.split('\n').filter((file) => TOOLS.test(file));
    assert.deepEqual(strange, []);
    assert.match(files, /\/soradns\/dist\/main\.js$/m);
    for (const arch of ['x64', 'arm64']) {
      const lockfile = readFileSync(join(PROJECT, 'package-lock.json'), 'utf8');
      for (const native of ['@koromix/koffi', '@lmdb/lmdb', '@msgpackr-extract/msgpackr-extract']) {
        assert.ok(lockfile.includes(`"node_modules/${native}-linux-${arch}"`), `${native} ${arch}`);
      }
    }
  }),
);

test(
  'The container answers without root, capabilities or a writable disk, keeps its names in its volume and stops in time',
  docker.options,
  docker.on(async (dockerd) => {
    const args = [...HARDENED, ...WATCHED, '--volume', 'kept:/var/lib/soradns'];
    const server = { address: dockerd.address, port: 53 };
    const start = () =>
      dockerd.docker(
        'run',
        '-d',
        '--name',
        'soradns',
        ...args,
        ...PUBLISHED.flatMap((port) => ['-p', port]),
        'soradns',
      );
    await start();
    await becomes(dockerd, 'soradns', 'healthy', HEALTHY);
    const status = await dockerd.docker('exec', 'soradns', 'cat', '/proc/1/status');
    assert.match(status, /^Uid:\t65532\t65532\t65532\t65532$/m);
    assert.match(status, /^NoNewPrivs:\t1$/m);
    assert.match(status, /^CapEff:\t0+$/m);
    await dockerd.docker('exec', 'soradns', 'soradns', 'set', NAME, '--host', '192.0.2.7');
    for (const how of ['+notcp', '+tcp']) {
      const { answer } = await dig(server, how, NAME, 'A');
      assert.match(answer.join('\n'), /192\.0\.2\.7$/, how);
    }
    await assertStops(dockerd, 'soradns');
    assert.match(await logs(dockerd, 'soradns'), /"msg":"stopped"/);
    await dockerd.docker('rm', 'soradns');
    await start();
    await becomes(dockerd, 'soradns', 'healthy', HEALTHY);
    assert.match((await dig(server, NAME, 'A')).answer.join('\n'), /192\.0\.2\.7$/);
  }),
);

test(
  'A container that has not read its store is unhealthy and keeps running',
  docker.options,
  docker.on(async (dockerd) => {
    const id = await dockerd.run({
      image: 'soradns',
      args: [...HARDENED, ...WATCHED],
      command: ['serve', '--addr', '0.0.0.0:53', '--store', 'etcd://127.0.0.1:1'],
    });
    await becomes(dockerd, id, 'unhealthy', /^127\.0\.0\.1:53 SERVFAIL$/m);
    assert.equal(await dockerd.docker('inspect', '--format', '{{.State.Running}}', id), 'true');
  }),
);

test(
  'The health check queries every address that the server listens on',
  docker.options,
  docker.on(async (dockerd) => {
    const addresses = ['--addr', '127.0.0.2:5353', '--addr', '0.0.0.0:5354'];
    const id = await dockerd.run({
      image: 'soradns',
      args: [...HARDENED, ...WATCHED, '--init'],
      command: ['serve', ...addresses, '--store', 'memory:', '--http', 'off'],
    });
    await becomes(
      dockerd,
      id,
      'healthy',
      /^127\.0\.0\.2:5353 REFUSED, 127\.0\.0\.1:5354 REFUSED$/m,
    );
  }),
);

/** As the pages run it, without a store that outlives it. */
const ON_HOST = ['--network', 'host', '--user', '0:65532'];
const WITH_VIP = ['up', '--vip', '--store', 'memory:'];

test(
  'The container carries connections in the kernel with NET_ADMIN; without it it answers with real addresses, or exits with 6',
  docker.options,
  docker.on(async (dockerd) => {
    const volume = ['--volume', `${dirname(dockerd.socket)}:/var/run:ro`];
    const args = [...HARDENED, ...ON_HOST, ...volume];
    const only = ['soradns', ...WITH_VIP, '--ambassador-plane', 'nft'];
    await assert.rejects(
      dockerd.docker('run', '--name', 'without', ...args, ...only),
      /the capability NET_ADMIN/,
    );
    const format = '{{.State.ExitCode}}';
    assert.equal(await dockerd.docker('inspect', '--format', format, 'without'), '6');
    for (const [more, vip] of [
      [[], 'real addresses'],
      [['--cap-add', 'NET_ADMIN'], 'ok'],
    ] as const) {
      await dockerd.docker('rm', '--force', 'soradns').catch(() => {});
      const all = [...args, ...more, ...WATCHED];
      await dockerd.run({ name: 'soradns', image: 'soradns', args: all, command: WITH_VIP });
      await becomes(dockerd, 'soradns', 'healthy', /^172\.17\.0\.1:53 REFUSED$/m);
      const isAnswered = async (): Promise<boolean> =>
        JSON.parse(await onHost(dockerd, ...READYZ)).vip === vip;
      await until(`virtual addresses are ${vip}`, isAnswered, STARTED_MS);
    }
    const crosses = async () =>
      /--comment "?soradns"? -j ACCEPT$/m.test(
        await onHost(dockerd, 'iptables', '-S', 'DOCKER-USER'),
      );
    await until('Docker lets virtual addresses cross its bridges', crosses, STARTED_MS);
    assert.match(await onHost(dockerd, 'nft', 'list', 'tables'), /^table ip soradns$/m);
  }),
);

const READYZ = ['curl', '-s', '-H', 'Accept: application/json', 'http://127.0.0.1:4001/readyz'];

async function onHost(dockerd: Dockerd, ...words: readonly string[]): Promise<string> {
  const [command, ...args] = dockerd.onHost(...words);
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
  return (await promisify(execFile)(command, args, { env })).stdout;
}

test(
  "The README's block for one host builds the image and resolves a container's name",
  docker.options,
  docker.on(async (dockerd) => {
    await standInForBases(dockerd.host);
    await standInForPublicImages(dockerd);
    const [block = ''] = shellBlocks('README.md', 'Try it in a minute').filter((text) =>
      text.includes('docker build'),
    );
    const { start, lookUp } = parted(block);
    await shell(dockerd, start, {});
    let printed = '';
    const isFound = async () => {
      printed = await shell(dockerd, lookUp, {}).catch(({ stdout }) => stdout);
      return printed.includes(dockerd.address);
    };
    await until('the container is found', isFound, STARTED_MS).catch(async (error) => {
      throw new Error(`${error}\n${printed}\n${await logs(dockerd, 'soradns')}`);
    });
    await assertStops(dockerd, 'soradns');
  }),
);

/** A block's lines that start something, and its lines that look something up and may be repeated. */
function parted(block: string): { readonly start: string; readonly lookUp: string } {
  const lines = block.split('\n');
  return {
    start: lines.filter((line) => !line.includes('--rm')).join('\n'),
    lookUp: lines.filter((line) => line.includes('--rm')).join('\n'),
  };
}

test(
  "A container on the second host reaches a container on the first after the README's blocks for two hosts",
  docker.options,
  docker.on(async (first) => {
    const second = await startDockerd({ connection: connection(12) });
    try {
      await standInForEtcd(first.cli, etcdImage());
      await shell(first, `docker save soradns | docker --host ${second.host} load`, {});
      for (const host of [first, second]) await standInForPublicImages(host);
      const [onFirst = '', onFurther = ''] = shellBlocks('README.md', 'Two hosts').filter((block) =>
        block.includes('soradns up'),
      );
      await shell(first, onFirst, { HOST: first.address });
      const { start, lookUp } = parted(onFurther);
      await shell(second, start, { ETCD: first.address });
      for (const host of [first, second])
        await becomes(host, 'soradns', 'healthy', /^172\.17\.0\.1:53 REFUSED$/m);
      const answers = async () => {
        const printed = await shell(second, lookUp, {}).catch(() => '');
        return printed.includes(NGINX_PAGE);
      };
      await until(
        'the container on the second host reaches the one on the first',
        answers,
        STARTED_MS,
      );
      await assertCommandsRun(first);
      await assertIsReplaced(first);
      await Promise.all([first, second].map((host) => assertStops(host, 'soradns')));
    } finally {
      await second.stop();
    }
  }),
);

/**
 * Runs the commands of docs/commands.md for a host that has only the image. Repeats them, because the server answers
 * for a new name only after a moment.
 */
async function assertCommandsRun(host: Dockerd): Promise<void> {
  const [block = ''] = shellBlocks('docs/commands.md', 'In a container').filter((text) =>
    text.includes('docker exec'),
  );
  const commands = block.replaceAll('10.0.0.1:', `${host.address}:`);
  const expected = [
    /^web\.skydns\.local\. +/m, // ls
    /^docker +unix:.* \(connected\)$/m, // registrar status
    /^db\.skydns\.local\.\t\d+\tIN\tA\t10\.0\.0\.9$/m, // query
    /^ok +server +172\.17\.0\.1:53 answers for skydns\.local\./m, // doctor
  ];
  let printed = '';
  const areDone = async (): Promise<boolean> => {
    printed = await shell(host, commands, {}).catch(({ stdout, stderr }) => `${stdout}${stderr}`);
    return expected.every((line) => line.test(printed));
  };
  await until('the commands print the expected lines', areDone, STARTED_MS).catch((error) => {
    throw new Error(`${error}\n${printed}`);
  });
}

function containerOf(host: Dockerd): Promise<string> {
  return host.docker('inspect', '--format', '{{.Id}}', 'soradns');
}

/** Runs the block of docs/operations.md that replaces the image; every lookup meanwhile must print the address. */
async function assertIsReplaced(host: Dockerd): Promise<void> {
  const [block = ''] = shellBlocks('docs/operations.md', 'Replace a running server').filter(
    (text) => text.includes('docker build'),
  );
  const old = await containerOf(host);
  const answers = await withTempDir(async (folder) => {
    const end = join(folder, 'end');
    const lookUp = `dig +short +tries=1 +time=5 @172.17.0.1 ${NAME} A`;
    const [command, ...args] = host.onHost('sh', '-c', `until [ -e ${end} ]; do ${lookUp}; done`);
    const lookingUp = promisify(execFile)(command, args, { maxBuffer: 1 << 26 });
    try {
      await shell(host, block, { ETCD: host.address });
    } finally {
      writeFileSync(end, '');
      await lookingUp;
    }
    return (await lookingUp).stdout.trim().split('\n');
  });
  assert.notEqual(await containerOf(host), old);
  assert.deepEqual([...new Set(answers)], [host.address]);
  assert.ok(answers.length > 20, `${answers.length} lookups`);
}

function etcdImage(): string {
  const [, image] = /(\S+\/etcd:\S+)/.exec(readFileSync(join(PROJECT, 'README.md'), 'utf8')) ?? [];
  return image ?? assert.fail('the README names no image of etcd');
}

/** Runs a block with the host's Docker and with these values for its variables. */
async function shell(
  { host, socket }: Dockerd,
  block: string,
  values: Readonly<Record<string, string>>,
): Promise<string> {
  const text = Object.entries(values)
    .reduce(
      (all, [name, value]) => all.replace(new RegExp(`^${name}=.*$`, 'm'), `${name}=${value}`),
      block,
    )
    .replaceAll('-v /var/run:', `-v ${dirname(socket)}:`);
  const env = { ...process.env, DOCKER_HOST: host, DOCKER_BUILDKIT: '0' };
  const options = { cwd: PROJECT, env, timeout: 240_000, maxBuffer: 1 << 26 };
  return (await promisify(execFile)('sh', ['-euc', text], options)).stdout;
}
