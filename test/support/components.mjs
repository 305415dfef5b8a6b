/**
 * The real programs that the tests run against, and the Debian packages that have them. As root, the run prints the
 * names of the missing packages and installs them. With SORADNS_TEST_NO_INSTALL=1, or as another user, it prints the
 * command instead.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** For tests that need root: they run their own Docker, Podman and networks with resolvers. */
const AS_ROOT = {
  dockerd: 'docker.io',
  docker: 'docker.io',
  'docker-compose': 'docker-compose',
  podman: 'podman netavark aardvark-dns catatonit runc',
  iptables: 'iptables',
  nft: 'nftables libnftables1',
  conntrack: 'conntrack',
  busybox: 'busybox-static',
  gcc: 'gcc libc6-dev',
  'musl-gcc': 'musl-tools libc6-dev',
  unbound: 'unbound',
  haproxy: 'haproxy',
  named: 'bind9',
  'named-rrchecker': 'bind9',
  knotd: 'knot',
  nsd: 'nsd',
  tcpdump: 'tcpdump',
};

/** Command -> package. */
const COMPONENTS = {
  etcd: 'etcd-server',
  etcdctl: 'etcd-client',
  dig: 'bind9-dnsutils',
  delv: 'bind9-dnsutils',
  'dnssec-keygen': 'bind9-utils',
  kdig: 'knot-dnsutils',
  kzonecheck: 'knot-dnssecutils',
  drill: 'ldnsutils',
  dnsviz: 'dnsviz',
  stubby: 'stubby',
  dnsperf: 'dnsperf',
  h2load: 'nghttp2-client',
  faketime: 'faketime',
  fstrm_capture: 'fstrm-bin',
  'dnstap-ldns': 'dnstap-ldns',
  pebble: 'pebble',
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

/**
 * Makes every component available; returns whether all are. `env` has the PATH in which this function looks for them.
 * `policyFile` is the program that Debian asks whether it may start a service that it installs.
 */
export function provideComponents({
  env = process.env,
  isRoot = process.getuid?.() === 0,
  policyFile = '/usr/sbin/policy-rc.d',
  print = console.error,
} = {}) {
  const missing = missingCommands(env);
  if (missing.length === 0) return true;
  const packages = [...new Set(missing.flatMap((command) => COMPONENTS[command].split(' ')))];
  const install = ['install', '-y', '--no-install-recommends', ...packages];
  const command = `apt-get update && apt-get ${install.join(' ')}`;
  print(`The tests need commands that this machine lacks: ${missing.join(', ')}`);
  if (!isRoot || env.SORADNS_TEST_NO_INSTALL === '1' || !isInstalled('apt-get', env)) {
    print(`Install them, then run the tests again:\n  sudo sh -c '${command}'`);
    return false;
  }
  print(`Installing these Debian packages: ${packages.join(' ')}`);
  print('(SORADNS_TEST_NO_INSTALL=1 prints the command instead.)');
  const aptGet = (args) => runAptGet(args, env, print);
  if (!withoutServices(policyFile, () => aptGet(['update']) && aptGet(install))) return false;
  // Newer Debians have Docker's command line in a package of its own.
  if (missingCommands(env).includes('docker')) aptGet(['install', '-y', 'docker-cli']);
  const still = missingCommands(env);
  if (still.length > 0) print(`still missing: ${still.join(', ')}`);
  return still.length === 0;
}

function missingCommands(env) {
  return Object.keys(COMPONENTS).filter((command) => !isInstalled(command, env));
}

function isInstalled(command, { PATH = '' }) {
  return PATH.split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * Debian starts the services that it installs unless policy-rc.d forbids it; the tests start their own on free ports.
 */
function withoutServices(policyFile, install) {
  const isOurs = !existsSync(policyFile);
  if (isOurs) writeFileSync(policyFile, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    return install();
  } finally {
    if (isOurs) rmSync(policyFile, { force: true });
  }
}

function runAptGet(args, env, print) {
  print(`apt-get ${args.join(' ')}`);
  const { status, stdout, stderr } = spawnSync('apt-get', ['-q', ...args], {
    encoding: 'utf8',
    env: { ...env, DEBIAN_FRONTEND: 'noninteractive' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (status !== 0) print(`${stdout}${stderr}\napt-get ${args[0]} failed (${status})`);
  return status === 0;
}
