/**
 * The real programs that the tests run against, and the Debian packages they come from. As root they are installed;
 * otherwise the exact command is printed.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** For tests that must be root: Docker and Podman of their own, and networks of their own with resolvers in them. */
const AS_ROOT = {
  dockerd: 'docker.io',
  docker: 'docker.io',
  'docker-compose': 'docker-compose',
  podman: 'podman netavark aardvark-dns catatonit runc',
  iptables: 'iptables',
  busybox: 'busybox-static',
  gcc: 'gcc libc6-dev',
  'musl-gcc': 'musl-tools libc6-dev',
  unbound: 'unbound',
  haproxy: 'haproxy',
};

/** Command -> package. */
const COMPONENTS = {
  etcd: 'etcd-server',
  etcdctl: 'etcd-client',
  dig: 'bind9-dnsutils',
  dnsmasq: 'dnsmasq-base',
  ip: 'iproute2',
  curl: 'curl',
  groff: 'groff-base',
  openssl: 'openssl',
  python3: 'python3',
  zsh: 'zsh',
  fish: 'fish',
  ...(process.getuid?.() === 0 && AS_ROOT),
};

/** Makes every component available; prints why and gives false if it cannot. */
export function provideComponents() {
  const missing = missingCommands();
  if (missing.length === 0) return true;
  const packages = [...new Set(missing.flatMap((command) => COMPONENTS[command].split(' ')))];
  const install = ['install', '-y', '--no-install-recommends', ...packages];
  console.error(`missing: ${missing.join(', ')}`);
  if (process.getuid?.() !== 0 || !isInstalled('apt-get')) {
    console.error(
      `run this, then again:\n  sudo apt-get update && sudo apt-get ${install.join(' ')}`,
    );
    return false;
  }
  if (!withoutServices(() => aptGet(['update']) && aptGet(install))) return false;
  // Newer Debians have Docker's command line apart.
  if (missingCommands().includes('docker')) aptGet(['install', '-y', 'docker-cli']);
  const still = missingCommands();
  if (still.length > 0) console.error(`still missing: ${still.join(', ')}`);
  return still.length === 0;
}

function missingCommands() {
  return Object.keys(COMPONENTS).filter((command) => !isInstalled(command));
}

function isInstalled(command) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Debian starts the services it installs unless policy-rc.d says no; the tests start their own on free ports. */
function withoutServices(install) {
  const policy = '/usr/sbin/policy-rc.d';
  const ours = !existsSync(policy);
  if (ours) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    return install();
  } finally {
    if (ours) rmSync(policy, { force: true });
  }
}

function aptGet(args) {
  console.error(`apt-get ${args.join(' ')}`);
  const { status, stdout, stderr } = spawnSync('apt-get', ['-q', ...args], {
    encoding: 'utf8',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (status !== 0) console.error(`${stdout}${stderr}\napt-get ${args[0]} failed (${status})`);
  return status === 0;
}
