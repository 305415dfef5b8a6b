/** The servers that answer the same names over TLS and over HTTPS: soradns, and the peers that are installed. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../test/support/freePort.ts';
import { isInstalled, type Running, SERVER_CORE, start } from '../process.ts';
import { type Soradns, startSoradns, untilReady } from '../soradns.ts';

export const DOMAIN = 'skydns.local';
export const NAMES = 200;

export interface EncryptedServer {
  readonly title: string;
  readonly running: Running;
  readonly dotPort: number;
  /** Undefined: it does not speak DNS over HTTPS. */
  readonly dohPort: number | undefined;
}

export interface CertificatePaths {
  readonly cert: string;
  readonly key: string;
}

/** A certificate of P-256 that signs itself, as all servers of a run have it. */
export function makeCertificate(folder: string): CertificatePaths {
  const paths = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const out = ['-keyout', paths.key, '-out', paths.cert];
  execFileSync('openssl', ['req', '-x509', ...kind, ...names, ...out], { stdio: 'pipe' });
  return paths;
}

export function addressOfName(index: number): string {
  return `10.0.${index >> 8}.${index & 0xff}`;
}

/** Starts soradns on a memory store with all names. */
export async function startEncrypted(
  folder: string,
  { cert, key }: CertificatePaths,
): Promise<EncryptedServer> {
  const [dotPort, dohPort] = [await freePort(), await freePort()];
  const secure = ['--dot', `127.0.0.1:${dotPort}`, '--doh', `127.0.0.1:${dohPort}`];
  const running = await startSoradns({
    ...{ store: 'memory:', cwd: folder, core: SERVER_CORE },
    args: ['--no-rec', ...secure, '--server-cert', cert, '--server-key', key],
  });
  await untilReady(running);
  await fill(running);
  return { title: 'soradns', running, dotPort, dohPort };
}

async function fill({ httpPort }: Soradns): Promise<void> {
  for (let i = 0; i < NAMES; i++) {
    const body = new URLSearchParams({ value: JSON.stringify({ host: addressOfName(i) }) });
    const url = `http://127.0.0.1:${httpPort}/v2/keys/skydns/local/skydns/host${i}`;
    const reply = await fetch(url, { method: 'PUT', body });
    if (!reply.ok) throw new Error(await reply.text());
  }
}

/** Starts unbound, BIND and CoreDNS with the same names, where they are installed. */
export async function startPeers(
  folder: string,
  certificate: CertificatePaths,
): Promise<EncryptedServer[]> {
  return [
    ...(isInstalled('unbound') ? [await startUnboundPeer(folder, certificate)] : []),
    ...(isInstalled('named') ? [await startNamed(folder, certificate)] : []),
    ...(isInstalled('coredns') ? [await startCoreDns(folder, certificate)] : []),
  ];
}

async function startUnboundPeer(
  folder: string,
  { cert, key }: CertificatePaths,
): Promise<EncryptedServer> {
  const [dotPort, dohPort] = [await freePort(), await freePort()];
  const data = Array.from(
    { length: NAMES },
    (_, i) => `  local-data: "host${i}.${DOMAIN}. 3600 A ${addressOfName(i)}"`,
  );
  const path = join(folder, 'unbound.conf');
  writeFileSync(
    path,
    `server:
  interface: 127.0.0.1@${dotPort}
  interface: 127.0.0.1@${dohPort}
  tls-port: ${dotPort}
  https-port: ${dohPort}
  tls-service-pem: "${cert}"
  tls-service-key: "${key}"
  num-threads: 1
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "${folder}"
  pidfile: ""
  use-syslog: no
  module-config: "iterator"
  local-zone: "${DOMAIN}." static
${data.join('\n')}
remote-control:
  control-enable: no
`,
  );
  const running = start(['unbound', '-c', path], { cwd: folder, core: SERVER_CORE });
  return { title: 'unbound', running, dotPort, dohPort };
}

async function startNamed(
  folder: string,
  { cert, key }: CertificatePaths,
): Promise<EncryptedServer> {
  const [dotPort, dohPort] = [await freePort(), await freePort()];
  const zone = writeZone(folder);
  const path = join(folder, 'named.conf');
  writeFileSync(
    path,
    `tls local { cert-file "${cert}"; key-file "${key}"; };
http local { endpoints { "/dns-query"; }; };
options {
  directory "${folder}";
  pid-file none;
  session-keyfile none;
  listen-on port ${dotPort} tls local { 127.0.0.1; };
  listen-on port ${dohPort} tls local http local { 127.0.0.1; };
  listen-on-v6 { none; };
  recursion no;
  minimal-responses yes;
};
controls { };
zone "${DOMAIN}" { type primary; file "${zone}"; };
`,
  );
  const running = start(['named', '-g', '-n', '1', '-c', path], { cwd: folder, core: SERVER_CORE });
  return { title: 'BIND', running, dotPort, dohPort };
}

async function startCoreDns(
  folder: string,
  { cert, key }: CertificatePaths,
): Promise<EncryptedServer> {
  const [dotPort, dohPort] = [await freePort(), await freePort()];
  const block = (scheme: string, port: number): string =>
    `${scheme}://${DOMAIN}:${port} {
  bind 127.0.0.1
  tls "${cert}" "${key}"
  file "${zone}"
}
`;
  const zone = writeZone(folder);
  const path = join(folder, 'Corefile');
  writeFileSync(path, block('tls', dotPort) + block('https', dohPort));
  const running = start(['coredns', '-conf', path], { cwd: folder, core: SERVER_CORE });
  return { title: 'CoreDNS', running, dotPort, dohPort };
}

function writeZone(folder: string): string {
  const records = Array.from({ length: NAMES }, (_, i) => `host${i} A ${addressOfName(i)}`);
  const path = join(folder, 'zone');
  writeFileSync(
    path,
    `$TTL 3600\n@ SOA ns hostmaster 1 2 3 4 5\n@ NS ns\nns A 127.0.0.1\n${records.join('\n')}\n`,
  );
  return path;
}
