import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  dockerdSettings,
  readDockerdSettings,
} from '../../../../src/tools/doctor/ambassador/dockerdSettings.ts';

const FILE = '/etc/docker/daemon.json';

describe('the settings of dockerd', () => {
  const told = (args: readonly string[], text?: string) => {
    const { userlandProxy, writesRules, firewall } = dockerdSettings(args, { file: FILE, text });
    const { isOn, setBy } = userlandProxy;
    const by = setBy === undefined ? 'default' : Object.values(setBy)[0];
    const rules = writesRules ? '' : ' no rules';
    return `${isOn ? 'on' : 'off'} by ${by}${rules}${firewall === undefined ? '' : ` ${firewall}`}`;
  };
  for (const [args, text, expected] of [
    [[], undefined, 'on by default'],
    [[], '', 'on by default'],
    [[], '{"userland-proxy": false}', `off by ${FILE}`],
    [[], '{"userland-proxy": true, "iptables": false}', `on by ${FILE} no rules`],
    [[], '{"firewall-backend": "nftables"}', 'on by default nftables'],
    [[], '{"userland-proxy": "false", "iptables": 0, "firewall-backend": 7}', 'on by default'],
    [[], '{"userland-proxy": false', 'on by default'],
    [[], '[false]', 'on by default'],
    [['--userland-proxy=false'], undefined, 'off by --userland-proxy=false'],
    [['--userland-proxy=F', '--iptables=0'], '{}', 'off by --userland-proxy=F no rules'],
    [
      ['--userland-proxy', '--firewall-backend', 'nftables'],
      '{}',
      'on by --userland-proxy nftables',
    ],
    [['--firewall-backend=iptables'], '{"firewall-backend": "nftables"}', 'on by default iptables'],
    [['--userland-proxy-path=false', '--firewall-backend'], undefined, 'on by default'],
  ] as const)
    it(`dockerd with the arguments ${JSON.stringify(args)} and the file ${text ?? 'missing'} is ${expected}`, () =>
      assert.equal(told(args, text), expected));
});

describe('finding dockerd', () => {
  const read = (files: Readonly<Record<string, string>>, socket?: string) =>
    readDockerdSettings(
      {
        read: async (path) => files[path],
        list: async (path) => {
          const names = Object.keys(files).filter((name) => name.startsWith(`${path}/`));
          return [...new Set(names.map((name) => name.slice(path.length + 1).split('/')[0] ?? ''))];
        },
      },
      socket,
    );
  const running = (pid: number, comm: string, ...args: readonly string[]) => ({
    [`/proc/${pid}/comm`]: `${comm}\n`,
    [`/proc/${pid}/cmdline`]: ['/usr/bin/dockerd', ...args, ''].join('\0'),
  });
  const off = '--userland-proxy=false';

  it('The only dockerd is found by its name', async () => {
    const files = { ...running(7, 'containerd', off), ...running(8, 'dockerd', '-H', 'fd://') };
    assert.equal((await read(files, '/var/run/docker.sock'))?.userlandProxy.isOn, true);
    assert.equal((await read(running(8, 'dockerd', off)))?.userlandProxy.isOn, false);
  });

  it('Of several dockerds the one that listens at the engine’s socket is found', async () => {
    const files = {
      ...running(8, 'dockerd', '--host=unix:///run/a.sock'),
      ...running(9, 'dockerd', off, '-H', 'unix:///run/b.sock'),
    };
    assert.equal((await read(files, '/run/a.sock'))?.userlandProxy.isOn, true);
    assert.equal((await read(files, '/run/b.sock'))?.userlandProxy.isOn, false);
    assert.equal(await read(files, '/run/c.sock'), undefined);
    assert.equal(await read(files), undefined);
  });

  it('The configuration file is the one that dockerd’s command line names', async () => {
    const files = {
      ...running(8, 'dockerd', '--config-file', '/srv/daemon.json'),
      '/srv/daemon.json': '{"userland-proxy": false}',
      [FILE]: '{}',
    };
    const setBy = { file: '/srv/daemon.json' };
    assert.deepEqual((await read(files))?.userlandProxy, { isOn: false, setBy });
  });

  it('Where /proc does not show dockerd, its usual file is read', async () => {
    const files = { [FILE]: '{"userland-proxy": false}' };
    assert.equal((await read(files))?.userlandProxy.isOn, false);
    assert.equal(await read({}), undefined);
  });
});
