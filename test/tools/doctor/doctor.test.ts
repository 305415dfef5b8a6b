/** `soradns doctor` on the command line: its output and its exit codes. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { printSocketAddress } from '../../../src/dns/address.ts';
import { callCli } from '../../support/cli.ts';
import { writeFiles } from '../../support/examination.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';
import { newTempDir, removeDir } from '../../support/tempDir.ts';

let root: string;
let server: TestServer;
let well: string[];
before(async () => {
  root = await newTempDir();
  await writeFiles(root, { '/etc/resolv.conf': 'nameserver 127.0.0.53\n' });
  server = await startTestServer({});
  const http = printSocketAddress(server.http ?? assert.fail());
  const addr = printSocketAddress(server.dns);
  well = ['doctor', '--root', root, '--addr', addr, '--http', http, '--store', 'memory:'];
});
after(async () => {
  await server?.close();
  await removeDir(root);
});

describe('doctor', () => {
  it('doctor exits with 0 when it finds only warnings, and prints fixes that can be copied', async () => {
    const { code, stdout, stderr } = await callCli(well);
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /^ok {7}server {5,}\S+ answers for skydns\.local\./m);
    assert.match(
      stdout,
      /^warning {2}resolved .*\n {10,}fix: sudo soradns integrate systemd-resolved/m,
    );
    assert.match(stdout, /\n\n0 problems, \d+ warnings?\n$/);
  });

  it('doctor exits with 1 when it finds a problem', async () => {
    const { code, stdout } = await callCli([...well, '--domain', 'other.example', '-q']);
    assert.equal(code, 1);
    assert.match(stdout, /^problem {2}server .* does not serve other\.example\.\n/m);
    assert.doesNotMatch(stdout, /^ok/m);
  });

  it('doctor --json prints its findings as JSON', async () => {
    const { code, stdout } = await callCli([...well, '--json']);
    assert.equal(code, 0);
    const report = JSON.parse(stdout);
    assert.equal(report.problems, 0);
    const checks = new Set(report.findings.map(({ check }: { check: string }) => check));
    for (const check of [
      'port',
      'server',
      'resolv.conf',
      'resolved',
      'mdns',
      'docker',
      'registrar',
    ])
      assert.ok(checks.has(check), check);
    for (const { level, fix } of report.findings)
      assert.equal(level === 'ok', fix === undefined, JSON.stringify(report.findings));
  });

  it('doctor reports mistakes in its options as serve does', async () => {
    const { code, stderr } = await callCli(['doctor', '--addr', 'x']);
    assert.equal(code, 2);
    assert.match(stderr, /^soradns: --addr: /);
    const elsewhere = await callCli(['doctor', '--root', `${root}/etc/resolv.conf`]);
    assert.equal(elsewhere.code, 2);
    assert.match(elsewhere.stderr, /^soradns: --root: .*\/etc\/resolv\.conf is not a folder/);
    assert.equal((await callCli(['doctor', '--root', `${root}/nothing`])).code, 2);
  });
});
