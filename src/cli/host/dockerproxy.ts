/** `soradns dockerproxy`: a read-only proxy in front of the Docker socket. */
import { existsSync } from 'node:fs';
import type { Socket } from 'node:net';
import { dirname } from 'node:path';
import { EXIT_CODES, Failure, failureOf } from '../../app/process/failure.ts';
import { engineEndpoint } from '../../app/process/network.ts';
import { exitOnFault, untilAborted } from '../../app/process/process.ts';
import { SOCKET_MOUNTED, SOCKET_REPLACED } from '../../app/registrar/registrarLog.ts';
import { wordsOf } from '../../config/options/option.ts';
import { REGISTRAR_OPTIONS } from '../../config/options/registrarOptions.ts';
import { readSettings, type TextFileReader } from '../../config/settings.ts';
import { peerCredentials } from '../../dataplane/sockets/unixSocket.ts';
import { endpointLabel } from '../../registrar/engine/endpoint.ts';
import type { ProxyPeer } from '../../registrar/engine/proxyPermits.ts';
import { readableMetadata } from '../../registrar/engine/reducedAnswers.ts';
import { ReplacedSocket } from '../../registrar/engine/replacedSocket.ts';
import { descriptorOf } from '../../server/listening/peerOwner.ts';
import { systemClock } from '../../timing/clock.ts';
import type { Command } from '../command.ts';

/** The registrar's options that decide what a registrar reads, and so what the proxy lets through. */
const ROWS = {
  dockerHost: REGISTRAR_OPTIONS.dockerHost,
  envPrefix: REGISTRAR_OPTIONS.envPrefix,
  labelPrefix: REGISTRAR_OPTIONS.labelPrefix,
  ipLabel: REGISTRAR_OPTIONS.ipLabel,
};
const DEFAULT_PATH = '/run/soradns/docker.sock';

export const dockerProxyCommand: Command = {
  name: 'dockerproxy',
  summary: 'Run a read-only proxy in front of the Docker socket',
  positionals: [],
  options: [
    {
      name: 'listen',
      form: 'text',
      placeholder: 'PATH',
      describe: 'socket to listen on; access is controlled by its directory, or by --socket-group',
      defaultText: DEFAULT_PATH,
    },
    {
      name: 'socket-group',
      form: 'text',
      placeholder: 'GROUP',
      describe: 'group that may connect, by name or number; the socket gets mode 0660',
      defaultText: 'any user with access to the directory',
    },
    ...wordsOf(ROWS),
  ],
  examples: [
    ['soradns dockerproxy', 'run it as a user with access to the Docker socket'],
    [
      'soradns register --docker-host unix:///run/soradns/docker.sock',
      'run a registrar that has access to the proxy only',
    ],
  ],
  async run({ flags }, io) {
    const { env, readFile } = io;
    const { settings, mistakes } = readSettings(ROWS, { flags, env, readFile, file: undefined });
    if (mistakes.length > 0) throw new Failure('usage', mistakes.join('; '));
    const endpoint = engineEndpoint(settings.dockerHost, '--docker-host', io);
    const path = typeof flags.listen === 'string' ? flags.listen : DEFAULT_PATH;
    const groupId = groupIdOf(flags['socket-group'], readFile);
    const { envPrefix, labelPrefix, ipLabel } = settings;
    const labels = ipLabel === undefined ? [] : [ipLabel];
    const metadata = readableMetadata([envPrefix, labelPrefix], labels);
    io.handleSignals();
    io.outliveReaders();
    const replaced = new AbortController();
    const socket =
      endpoint.kind === 'unix' ? new ReplacedSocket(endpoint.path, systemClock) : undefined;
    // The proxy keeps no records, so it may exit before Docker is back.
    const onUnreachable = (): void => {
      if (socket?.isUnlinked() === true) replaced.abort();
    };
    const setup = { endpoint, path, groupId, metadata, peerOf, onUnreachable };
    const { startReadOnlyProxy } = await import('../../registrar/engine/readOnlyProxy.ts');
    const proxy = await startReadOnlyProxy(setup).catch((error: unknown) => {
      throw listenFailure(path, error);
    });
    const { openLog } = await import('../../observability/log.ts');
    const log = await openLog({ level: 'info', pretty: io.stdout.isTty });
    exitOnFault(log);
    if (socket?.isMounted() === true) log.warn({ docker: endpointLabel(endpoint) }, SOCKET_MOUNTED);
    log.info({ listen: path, docker: endpointLabel(endpoint) }, 'proxy started');
    await untilAborted(AbortSignal.any([io.stop, replaced.signal]));
    await proxy.close();
    if (replaced.signal.aborted) log.error({ docker: endpointLabel(endpoint) }, SOCKET_REPLACED);
    else log.info({ signal: io.stop.reason }, 'stopped');
    log.close();
    return replaced.signal.aborted ? EXIT_CODES.socket_replaced : 0;
  },
};

/** Node also reports EACCES for a missing folder. */
function listenFailure(path: string, error: unknown): Failure {
  const { code, message } = failureOf(error);
  const folder = dirname(path);
  return existsSync(folder)
    ? new Failure(
        code,
        `--listen: ${path}: ${message}`,
        'choose a folder that this user may write to',
      )
    : new Failure(
        code,
        `--listen: the folder ${folder} does not exist`,
        `create it: mkdir -p -m 0750 ${folder}`,
      );
}

/** The client's user and process, from the kernel. */
function peerOf(socket: Socket): ProxyPeer {
  const descriptor = descriptorOf(socket);
  const credentials = descriptor === undefined ? undefined : peerCredentials(descriptor);
  return { uid: credentials?.uid, pid: credentials?.pid };
}

/** A group by number, or by its name in /etc/group. */
function groupIdOf(group: unknown, readFile: TextFileReader): number | undefined {
  if (typeof group !== 'string') return undefined;
  if (/^[0-9]{1,10}$/.test(group)) return Number(group);
  const read = readFile('/etc/group');
  for (const line of 'text' in read ? read.text.split('\n') : []) {
    const [name, , id = ''] = line.split(':');
    if (name === group && /^[0-9]{1,10}$/.test(id)) return Number(id);
  }
  throw new Failure(
    'usage',
    `--socket-group: this host has no group "${group}"`,
    'give its number',
  );
}
