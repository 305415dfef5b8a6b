/** A network namespace connected to the test, as another host; it and its link end with its process. */
import { execFileSync, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';

export interface OtherHost {
  /** The test's address on the link. */
  readonly localAddress: string;
  /** Runs a command there; returns its output, and throws when it fails. */
  run(...command: readonly string[]): string;
  end(): Promise<void>;
}

/** Needs root. */
export async function connectOtherHost(): Promise<OtherHost> {
  const holder = spawn('unshare', ['--net', 'sh', '-c', 'echo ready; exec sleep 600'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const kill = () => void holder.kill('SIGKILL');
  process.once('exit', kill);
  await once(holder.stdout, 'data');
  const pid = String(holder.pid);
  const link = `sd${randomInt(0xffffff).toString(16)}`;
  const net = `10.212.${randomInt(256)}.${4 * randomInt(64)}`.split('.');
  const address = (host: number) => [...net.slice(0, 3), Number(net[3]) + host].join('.');
  const run = (...command: readonly string[]) =>
    execFileSync('nsenter', ['-t', pid, '-n', ...command], { encoding: 'utf8' });
  execFileSync('ip', ['link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', pid]);
  execFileSync('ip', ['addr', 'add', `${address(1)}/30`, 'dev', link]);
  execFileSync('ip', ['link', 'set', link, 'up']);
  run('ip', 'addr', 'add', `${address(2)}/30`, 'dev', 'eth0');
  run('ip', 'link', 'set', 'eth0', 'up');
  return {
    localAddress: address(1),
    run,
    async end() {
      process.off('exit', kill);
      const exited = once(holder, 'exit');
      kill();
      await exited;
    },
  };
}
