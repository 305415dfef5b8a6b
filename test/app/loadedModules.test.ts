/** A process loads the packages and the parts of the program that its options need, and no others. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadKoffi } from '../../src/kernel/libc.ts';
import { MAIN } from '../support/cli.ts';
import { type CliProcess, ON_FREE_PORTS, startCli } from '../support/cliProcess.ts';
import { freePort } from '../support/freePort.ts';
import { withTempDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';

const LOG = fileURLToPath(new URL('../support/moduleLog.mjs', import.meta.url));
/** Packages that some option or command needs. */
const OPTIONAL = ['@grpc/grpc-js', 'dns2', 'dockerode', 'etcd3', 'lmdb', 'pino-pretty', 'zod'];
const koffi = loadKoffi();

interface Loaded {
  /** The optional packages, sorted. */
  readonly packages: readonly string[];
  /** The program's files, as `store/file/fileStore`. */
  readonly files: readonly string[];
  /** The paths of the native libraries. */
  readonly libraries: readonly string[];
}

/** Starts `serve` with the options, and reads what it has loaded once `isSettled`. */
async function loadedBy(
  args: readonly string[],
  isSettled: (child: CliProcess, files: () => Promise<readonly string[]>) => Promise<unknown>,
): Promise<Loaded> {
  return withTempDir(async (dir) => {
    const MODULE_LOG = join(dir, 'modules');
    const line = ['serve', ...ON_FREE_PORTS, ...args.map((arg) => arg.replace('DIR', dir))];
    const child = startCli(line, { MODULE_LOG }, [process.execPath, '--import', LOG, MAIN]);
    try {
      await child.logged('serving');
      const urls = async () => [...new Set((await readFile(MODULE_LOG, 'utf8')).split('\n'))];
      const files = async () =>
        (await urls()).flatMap((url) => /\/dist\/(.*)\.js$/.exec(url)?.[1] ?? []);
      await isSettled(child, files);
      const packages = (await urls()).flatMap(
        (url) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? [],
      );
      const maps = await readFile(`/proc/${child.pid}/maps`, 'latin1');
      return {
        packages: OPTIONAL.filter((name) => packages.includes(name)),
        files: await files(),
        libraries: maps.split('\n').filter((row) => row.endsWith('.node')),
      };
    } finally {
      await child.end();
    }
  });
}

const storeIsLoaded = (child: CliProcess) => child.logged('loaded the store');

function isIn(folder: string) {
  return (file: string): boolean => file.startsWith(`${folder}/`);
}

describe('modules of a server', { skip: process.platform !== 'linux' && 'needs /proc' }, () => {
  it('A server with a store in memory loads no other store, no registrar and no command', async () => {
    const args = ['--store', 'memory:', '--workers', '1'];
    const { packages, files, libraries } = await loadedBy(args, storeIsLoaded);
    assert.deepEqual(packages, []);
    assert.ok(files.includes('store/embedded/memoryStore'));
    assert.ok(!files.includes('store/file/fileStore'));
    assert.deepEqual(files.filter(isIn('store/etcd')), []);
    assert.deepEqual(files.filter(isIn('registrar/observe')), []);
    assert.ok(!files.includes('ambassador/nft/nftPlane'));
    assert.deepEqual(files.filter(isIn('tools')), []);
    assert.deepEqual(files.filter(isIn('cli/linking')), []);
    assert.ok(!libraries.some((row) => row.includes('lmdb')));
  });

  it('A server with a store on disk loads lmdb, and neither etcd’s client nor Docker’s', async () => {
    const { packages } = await loadedBy(['--store', 'file:DIR/store'], storeIsLoaded);
    assert.deepEqual(packages, ['lmdb']);
  });

  it('A server with etcd loads its client, and neither lmdb nor Docker’s client', async () => {
    const store = `etcd://127.0.0.1:${await freePort()}`;
    const { packages } = await loadedBy(['--store', store], async () => {});
    assert.ok(packages.includes('etcd3'));
    assert.ok(!packages.includes('lmdb'));
    assert.ok(!packages.includes('dockerode'));
  });

  it('A server with a registrar loads its modules', async () => {
    const engine = ['--register', '--register-docker-host', 'unix://DIR/none.sock'];
    const { packages } = await loadedBy(['--store', 'memory:', ...engine], (_, files) =>
      until('the registrar is loaded', async () =>
        (await files()).includes('registrar/engine/createDocker'),
      ),
    );
    assert.deepEqual(packages, []); // `require` loads dockerode, which the log does not show
  });

  it('A server without workers loads no native library', async () => {
    const args = ['--store', 'memory:', '--workers', '0'];
    assert.deepEqual((await loadedBy(args, storeIsLoaded)).libraries, []);
  });

  it('A server with workers loads koffi', {
    skip: koffi.kind === 'missing' && koffi.reason,
  }, async () => {
    const args = ['--store', 'memory:', '--workers', '1'];
    const { libraries } = await loadedBy(args, storeIsLoaded);
    assert.ok(libraries.some((row) => row.includes('koffi')));
  });
});
