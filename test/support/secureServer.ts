/** Listeners for DNS over TLS and over HTTPS on loopback, with a certificate in a folder; all end with the test. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import tls, { type ConnectionOptions, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { readPair } from '../../src/app/process/pemFiles.ts';
import type { Respond } from '../../src/dns/message.ts';
import type { TcpLimits } from '../../src/server/tcp/connectionTable.ts';
import type { StreamTable } from '../../src/server/tcp/streamTable.ts';
import { type CertificateFiles, ServerCertificate } from '../../src/server/tls/certificate.ts';
import { DohListener } from '../../src/server/tls/doh.ts';
import { newDohCounters } from '../../src/server/tls/dohAnswers.ts';
import { DotListener } from '../../src/server/tls/dot.ts';
import { type HandshakeLimits, newHandshakeCounters } from '../../src/server/tls/handshakes.ts';
import type { Certificates } from './certificates.ts';
import { newTempDir, removeDir } from './tempDir.ts';

export const DOH_PATH = '/dns-query';

export interface SecureSceneOptions {
  readonly certificates: Certificates;
  readonly respond: Respond;
  readonly table?: StreamTable;
  readonly limits?: Partial<TcpLimits>;
  readonly handshakeLimits?: HandshakeLimits;
  readonly isTrustedProxy?: (address: string) => boolean;
}

/** All listeners share the certificate `server`, which `replaceCertificate` replaces. */
export async function startSecureScene(t: TestContext, options: SecureSceneOptions) {
  const { certificates, handshakeLimits, ...rest } = options;
  const folder = await newTempDir();
  const files: CertificateFiles = {
    certFile: join(folder, 'cert.pem'),
    keyFile: join(folder, 'key.pem'),
  };
  const replaceCertificate = (name: string): void => {
    copyFileSync(certificates.path(`${name}.pem`), files.certFile);
    copyFileSync(certificates.path(`${name}-key.pem`), files.keyFile);
  };
  replaceCertificate('server');
  const read = readPair(files);
  if (read.kind !== 'pair') throw new Error(read.problem);
  const problems: string[] = [];
  const certificate = new ServerCertificate({
    ...{ files, pair: read.pair, read: readPair },
    onRenewed: () => {},
    onUnusable: (problem) => void problems.push(problem),
  });
  const handshakes = newHandshakeCounters();
  const counters = newDohCounters();
  const secure = {
    ...{ certificate, handshakes },
    ...(handshakeLimits !== undefined && { handshakeLimits }),
  };
  const dot = new DotListener({ ...rest, ...secure });
  const doh = new DohListener({ ...rest, path: DOH_PATH, counters, tls: secure });
  const plain = new DohListener({ ...rest, path: DOH_PATH, counters });
  const [dotAt, dohAt, plainAt] = await Promise.all(
    [dot, doh, plain].map((listener) => listener.listen('127.0.0.1', 0)),
  );
  t.after(async () => {
    certificate.close();
    await Promise.all([dot.close(), doh.close(), plain.close()]);
    await removeDir(folder);
  });
  const ports = { dot: dotAt?.port ?? 0, doh: dohAt?.port ?? 0, plain: plainAt?.port ?? 0 };
  return {
    dot,
    doh,
    plain,
    ports,
    certificate,
    files,
    problems,
    replaceCertificate,
    handshakes,
    counters,
  };
}

/** A client's TLS connection, after the handshake. It trusts the CA of the certificates. */
export async function connectTls(
  t: TestContext,
  port: number,
  certificates: Certificates,
  options: ConnectionOptions = {},
): Promise<TLSSocket> {
  const ca = certificates.pem('ca.pem');
  const socket = tls.connect({ port, host: '127.0.0.1', ca, ...options });
  t.after(() => socket.destroy());
  await once(socket, 'secureConnect');
  return socket.on('error', () => {});
}

const run = promisify(execFile);

/** The output of a program that ends well; both streams together. */
export async function outputOf(command: string, ...args: string[]): Promise<string> {
  const running = run(command, args, { timeout: 20_000 });
  running.child.stdin?.end();
  const { stdout, stderr } = await running;
  return `${stdout}${stderr}`;
}

/** Whether the program is installed. */
export async function isThere(command: string): Promise<boolean> {
  return run('which', [command]).then(
    () => true,
    () => false,
  );
}
