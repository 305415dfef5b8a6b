/**
 * `ambassador check` in network namespaces: each test makes a fault, and the printed command removes it. The file's main
 * thread has a namespace of its own; only the fixes of that namespace run there.
 */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { checkedAmbassador } from '../../support/ambassadorCheck.ts';
import { command, enterOwnNetwork, noOwnNetwork } from '../../support/ownNetwork.ts';

const options = noOwnNetwork === undefined ? {} : { skip: noOwnNetwork };

/** These depend on the Docker of the machine that runs the test, which /proc shows. */
const OF_DOCKER = ['userland-proxy', 'isolation'];

/** Runs the fix as the page's reader would, with the rights that the test has already. */
function mend(fix: string): void {
  command('sh', '-c', fix.replace(/^sudo /, ''));
}

describe('ambassador check', options, () => {
  before(() => {
    enterOwnNetwork();
    command('ip', 'link', 'add', 'eth0', 'type', 'bridge');
    command('ip', 'address', 'add', '192.0.2.7/24', 'dev', 'eth0');
    command('ip', 'link', 'set', 'eth0', 'up');
    command('sysctl', '-qw', 'net.ipv4.ip_forward=1');
    command('ip', 'route', 'add', 'default', 'via', '192.0.2.1');
  });

  it('A host whose kernel can carry connections has no problem and no warning', async () => {
    const { code, findings, of } = await checkedAmbassador({});
    assert.deepEqual(
      findings.filter(({ level, check }) => level !== 'ok' && !OF_DOCKER.includes(check)),
      [],
    );
    assert.equal(code, 0);
    assert.deepEqual(of('capability'), ['ok: this process has NET_ADMIN']);
    assert.match(of('kernel').join(), /^ok: Linux \S+ can carry connections$/);
  });

  it('A host that does not forward has a problem until its fix has run', async () => {
    command('sysctl', '-qw', 'net.ipv4.ip_forward=0');
    const broken = await checkedAmbassador({});
    assert.match(broken.of('forwarding').join(), /^problem: net\.ipv4\.ip_forward is 0/);
    assert.equal(broken.code, 1);
    mend(broken.fix('forwarding'));
    const mended = await checkedAmbassador({});
    assert.match(mended.of('forwarding').join(), /^ok: /);
    assert.equal(mended.code, 0);
  });

  it('A range that a bridge of the host overlaps is a problem, and the range of the fix is not', async () => {
    command('ip', 'link', 'add', 'br-web', 'type', 'bridge');
    command('ip', 'address', 'add', '198.18.7.1/24', 'dev', 'br-web');
    command('ip', 'link', 'set', 'br-web', 'up');
    try {
      const broken = await checkedAmbassador({});
      assert.match(
        broken.of('vip-range').join(),
        /^problem: .* overlaps br-web \(198\.18\.7\.1\/24\)/,
      );
      assert.equal(broken.code, 1);
      const [, range = ''] = /--vip-range (\S+)/.exec(broken.fix('vip-range')) ?? [];
      const mended = await checkedAmbassador({ args: ['--vip-range', range] });
      assert.match(mended.of('vip-range').join(), /^ok: --vip-range 198\.19\.0\.0\/16 /);
    } finally {
      command('ip', 'link', 'delete', 'br-web');
    }
  });

  it('A host without a route for its own programs is warned of, and the fix is not a clash', async () => {
    command('ip', 'route', 'delete', 'default');
    try {
      const broken = await checkedAmbassador({});
      assert.match(broken.of('route').join(), /^warning: /);
      const lookUp = () => command('ip', 'route', 'get', '198.18.0.1');
      assert.throws(lookUp, /Network is unreachable/);
      mend(broken.fix('route'));
      lookUp();
      const mended = await checkedAmbassador({});
      assert.match(mended.of('route').join(), /^ok: /);
      assert.match(mended.of('vip-range').join(), /^ok: /);
    } finally {
      command('ip', 'route', 'replace', 'default', 'via', '192.0.2.1');
      command('ip', 'route', 'flush', 'exact', '198.18.0.0/16');
    }
  });

  it('A process without NET_ADMIN is warned of, and with --ambassador-plane nft that is a problem', async () => {
    const by = ['setpriv', '--inh-caps=-net_admin', '--bounding-set=-net_admin'];
    const auto = await checkedAmbassador({ by });
    assert.match(auto.of('capability').join(), /^warning: this process lacks NET_ADMIN; the proxy/);
    assert.match(auto.of('kernel').join(), /^ok: Linux \S+ is new enough/);
    assert.match(auto.fix('capability'), /NET_ADMIN|^sudo /);
    assert.equal(auto.code, 0);
    const nft = await checkedAmbassador({ by, args: ['--ambassador-plane', 'nft'] });
    assert.match(nft.of('capability').join(), /^problem: .*the server does not start$/);
    assert.equal(nft.code, 1);
  });

  it('The proxy is checked for nothing', async () => {
    const checked = await Promise.all([
      checkedAmbassador({ args: ['--ambassador-plane', 'proxy'] }),
      checkedAmbassador({ env: { SORADNS_AMBASSADOR: 'true', SORADNS_AMBASSADOR_PLANE: 'proxy' } }),
    ]);
    for (const { code, findings } of checked)
      assert.deepEqual([code, findings.map(({ check }) => check)], [0, ['plane']]);
  });

  it('Variables of serve decide what is checked, as its options do', async () => {
    const env = { SORADNS_VIP: 'true', SORADNS_VIP_RANGE: '192.0.2.0/24' };
    const { code, of } = await checkedAmbassador({ env });
    assert.match(of('vip-range').join(), /^problem: --vip-range 192\.0\.2\.0\/24 overlaps eth0 /);
    assert.equal(code, 1);
  });
});
