/** The servers that sign: soradns with a key of its own, and Knot, which signs its zone before it answers. */
import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../test/support/freePort.ts';
import type { Lab, OurOptions, OurServer, Server } from '../dataplane/lab.ts';
import { NAMES } from '../dataplane/lab.ts';
import { BENCH_PARENT, benchNames, DOMAIN, zoneText } from '../names.ts';
import { isInstalled } from '../process.ts';
import { startKnotZone } from '../rivalServers.ts';
import { program } from '../soradns.ts';

/** More signatures a second than a server can make. */
const UNLIMITED = '1000000';
const SIGNED_TIMEOUT_MS = 60_000;

/** The folder of a new key. */
export function makeKey(lab: Lab): string {
  const folder = lab.newFolder('keys');
  const args = [program, 'dnssec', 'keygen', DOMAIN, '--keys', folder];
  const made = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`no key: ${made.stderr}`);
  return folder;
}

/** Starts soradns with that key. `signRate`: the most signatures a second. */
export async function startSigning(
  lab: Lab,
  keys: string,
  { signRate = UNLIMITED, ...options }: OurOptions & { readonly signRate?: string } = {},
): Promise<OurServer> {
  const args = ['--dnssec', keys, '--dnssec-sign-rate', signRate];
  const server = await lab.startOurs({ ...options, args });
  await untilSigned(server.port);
  return { ...server, title: 'soradns --dnssec' };
}

/** Undefined without Knot. */
export async function startSignedKnot(lab: Lab): Promise<Server | undefined> {
  if (!isInstalled('knotd')) return undefined;
  const port = await freePort();
  const zone = { domain: DOMAIN, text: zoneText(benchNames(NAMES)) };
  const policy = ['policy:', '  - id: bench', '    algorithm: ecdsap256sha256'];
  const running = await startKnotZone(zone, port, lab.newFolder('signed-knot'), {
    sections: [...policy, '    single-type-signing: on'],
    settings: ['dnssec-signing: on', 'dnssec-policy: bench'],
  });
  lab.atEnd(() => running.stop());
  try {
    await untilSigned(port);
  } catch (error) {
    throw new Error(running.output(), { cause: error });
  }
  return { title: 'Knot, signed', port, running };
}

async function untilSigned(port: number): Promise<void> {
  const question = [`0.service0.${BENCH_PARENT}`, 'A', '+dnssec', '+norec', '+tries=1', '+time=1'];
  const deadline = performance.now() + SIGNED_TIMEOUT_MS;
  while (performance.now() < deadline) {
    const { stdout } = spawnSync('dig', ['@127.0.0.1', '-p', `${port}`, ...question], {
      encoding: 'utf8',
    });
    if (/^\S+\s+\d+\s+IN\s+RRSIG\s+A /m.test(stdout)) return;
    await sleep(100);
  }
  throw new Error('answers are not signed');
}
