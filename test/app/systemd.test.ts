/** `serve` with real inherited sockets and a real notification socket, like those from systemd. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseSocketAddress } from '../../src/dns/address.ts';
import { Class, Type } from '../../src/dns/rr.ts';
import { childEnv, MAIN } from '../support/cli.ts';
import { type CliProcess, startCli } from '../support/cliProcess.ts';
import { freePort } from '../support/freePort.ts';
import { query } from '../support/server.ts';
import { activated, type SocketSpec, startNotifyReceiver } from '../support/serviceManager.ts';
import { until } from '../support/until.ts';

const running = new Set<CliProcess>();
after(() => Promise.all([...running].map((child) => child.end('SIGKILL'))));

const OPTIONS = ['serve', '--http', 'off', '--no-rec', '--lame-duck', '0'];

/** `serve` with inherited sockets; no interface of this host has the address in `--addr`. */
function serveWith(sockets: readonly SocketSpec[], args: string[] = [], env = {}, pidOff = 0) {
  const line = [...OPTIONS, '--addr', '192.0.2.1:53', ...args];
  const child = startCli(line, { SORADNS_STORE: 'memory:', ...env }, activated(sockets, pidOff));
  running.add(child);
  return child;
}

const soa = { qname: ['skydns', 'local'], qtype: Type.SOA, qclass: Class.IN };

async function answers(place: string, transport: 'udp' | 'tcp'): Promise<boolean> {
  const to = parseSocketAddress(place) ?? assert.fail(place);
  return (await query(to, soa, { transport })).authoritative;
}

describe('socket activation', { concurrency: 3 }, () => {
  it('The server uses the UDP and TCP sockets of IPv4 and IPv6 from systemd instead of --addr', async () => {
    const port = await freePort();
    const v4 = { address: '127.0.0.1', port };
    const v6 = { address: '::1', port };
    const child = serveWith([
      { kind: 'udp', ...v4 },
      { kind: 'tcp', ...v4 },
      { kind: 'tcp', ...v6 },
      { kind: 'udp', ...v6 },
    ]);
    const { dns } = await child.logged('serving');
    assert.deepEqual(dns, [`127.0.0.1:${port}`, `[::1]:${port}`]);
    for (const place of dns as string[])
      for (const transport of ['udp', 'tcp'] as const) assert.ok(await answers(place, transport));
    assert.equal(await child.end(), 0, child.stderr());
  });

  it('The server answers queries that arrived at systemd’s sockets before it started', async () => {
    const port = await freePort();
    const child = serveWith([{ kind: 'udp', address: '127.0.0.1', port }], ['--systemd']);
    // Repeats the query while Node loads: the kernel queues it on the bound socket until the server reads it.
    await until('an early question is answered', async () =>
      answers(`127.0.0.1:${port}`, 'udp').catch(() => false),
    );
    await child.end();
  });

  it('The server ignores systemd’s sockets for another process or with --no-systemd', async () => {
    const socket: SocketSpec = { kind: 'udp', address: '127.0.0.1' };
    for (const [args, pidOff] of [
      [[], 1],
      [['--systemd=false'], 0],
    ] as const) {
      const child = serveWith([socket], [...args], {}, pidOff);
      await assert.rejects(child.logged('serving'), /cannot listen on 192\.0\.2\.1:53/);
    }
  });

  it('--systemd without sockets from systemd fails with the fix', async () => {
    const child = startCli([...OPTIONS, '--systemd'], { SORADNS_STORE: 'memory:' });
    await assert.rejects(
      child.logged('serving'),
      /--systemd: systemd passed no sockets \(start soradns through/,
    );
    assert.equal(await child.end(), 2);
  });

  it('A socket from systemd that the server cannot use is named in the error', async () => {
    for (const kind of ['file', 'idle'] as const) {
      const child = serveWith([{ kind, address: '127.0.0.1' }]);
      await assert.rejects(
        child.logged('serving'),
        new RegExp(`descriptor 3 \\(${kind}\\) is neither a UDP socket nor a listening TCP socket`),
      );
    }
  });
});

describe('notification', { concurrency: 3 }, () => {
  for (const isAbstract of [false, true]) {
    it(`The server notifies systemd of start, reload, stop and watchdog on ${isAbstract ? 'an abstract name' : 'a path'}`, async () => {
      const ear = await startNotifyReceiver(isAbstract);
      const env = { NOTIFY_SOCKET: ear.address, WATCHDOG_USEC: '400000' };
      const child = serveWith([{ kind: 'udp', address: '127.0.0.1' }], [], env);
      try {
        const { pid, lines } = await ear.received('READY=1');
        assert.equal(pid, child.pid, 'the main process says it itself');
        assert.match(lines[1] ?? '', /^STATUS=/);
        await ear.received(/^STATUS=serving 127\.0\.0\.1:\d+ from memory:$/);
        await ear.received('WATCHDOG=1');
        process.kill(child.pid, 'SIGHUP');
        const reloading = await ear.received('RELOADING=1');
        assert.match(reloading.lines[1] ?? '', /^MONOTONIC_USEC=\d+$/);
        const since = ear.notifications.indexOf(reloading);
        await until('it is ready again', () =>
          ear.notifications.slice(since).some(({ lines }) => lines.includes('READY=1')),
        );
        assert.equal(await child.end('SIGTERM'), 0, child.stderr());
        await ear.received('STOPPING=1');
      } finally {
        await child.end('SIGKILL');
        await ear.close();
      }
    });
  }

  it('The server tells systemd why it is not ready', async () => {
    const ear = await startNotifyReceiver();
    const store = ['--store', 'etcd://127.0.0.1:1'];
    const child = serveWith([{ kind: 'udp', address: '127.0.0.1' }], store, {
      NOTIFY_SOCKET: ear.address,
    });
    try {
      await ear.received(/^STATUS=not ready: store: etcd:\/\/127\.0\.0\.1:1 has not been read yet/);
    } finally {
      await child.end('SIGKILL');
      await ear.close();
    }
  });

  const hasProgram = spawnSync('systemd-notify', ['--version']).status === 0;
  const skip = hasProgram ? false : 'optional: systemd-notify is not installed';

  it('The server notifies systemd through systemd-notify where koffi cannot be loaded', {
    skip,
  }, async () => {
    const ear = await startNotifyReceiver();
    const env = { SORADNS_STORE: 'memory:', NOTIFY_SOCKET: ear.address, WATCHDOG_USEC: '1000000' };
    const program = [process.execPath, '--no-addons', MAIN] as const;
    const child = startCli([...OPTIONS, '--addr', '127.0.0.1:0'], env, [...program]);
    try {
      for (const line of ['READY=1', 'WATCHDOG=1']) await ear.received(line);
      assert.ok(
        child.lines().some(({ msg }) => /koffi.*NotifyAccess=all/.test(String(msg))),
        child.stdout(),
      );
    } finally {
      await child.end('SIGKILL');
      await ear.close();
    }
  });

  it('A missing notification socket does not stop the server from serving', async () => {
    const child = serveWith([{ kind: 'udp', address: '127.0.0.1' }], [], {
      NOTIFY_SOCKET: '/nonexistent/notify',
      WATCHDOG_USEC: '20000',
    });
    await child.logged('serving');
    assert.equal(await child.end(), 0, child.stderr());
  });
});

describe('the watchdog', () => {
  it('The server sends no watchdog notification while its event loop hangs', async () => {
    const ear = await startNotifyReceiver();
    const source = fileURLToPath(new URL('../../src/app/process/supervisor.ts', import.meta.url));
    const hang = `
      const { superviseBy } = await import(${JSON.stringify(source)});
      superviseBy(process.env, () => 'fine', console.error)?.ready();
      setTimeout(() => {
        const untilMs = performance.now() + 2_000;
        while (performance.now() < untilMs);
        superviseBy(process.env, () => 'over', console.error)?.ready();
      }, 1_000);
      setTimeout(() => {}, 60_000);
    `;
    const args = ['--import', 'tsx', '--input-type=module', '-e', hang];
    const env = childEnv({ NOTIFY_SOCKET: ear.address, WATCHDOG_USEC: '200000' });
    const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'inherit', 'inherit'] });
    try {
      await ear.received('STATUS=over');
      const beats = ear.notifications.filter(({ lines }) => lines.includes('WATCHDOG=1'));
      const gapsMs = beats.slice(1).map(({ atMs }, i) => atMs - (beats[i]?.atMs ?? 0));
      assert.ok(beats.length > 2, `${beats.length} beats`);
      const endMs = (await ear.received('STATUS=over')).atMs;
      const silenceMs = endMs - Math.max(...beats.filter((b) => b.atMs < endMs).map((b) => b.atMs));
      assert.ok(Math.max(silenceMs, ...gapsMs) > 1_500, 'silent while it hung');
    } finally {
      child.kill('SIGKILL');
      await ear.close();
    }
  });
});
