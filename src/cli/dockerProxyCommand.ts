import { REGISTRAR_OPTIONS } from '../config/registerOptions.ts';
import { readSettings } from '../config/settings.ts';
import { endpointLabel } from '../docker/endpoint.ts';
import { startReadOnlyProxy } from '../docker/readOnlyProxy.ts';
import { openLog } from '../log.ts';
import { type Command, wordsOf } from './command.ts';
import { engineEndpoint } from './engineEndpoint.ts';
import { Failure, failureOf } from './failure.ts';
import { guard } from './guard.ts';
import { stopped } from './stopping.ts';

const ROWS = { dockerHost: REGISTRAR_OPTIONS.dockerHost };
const DEFAULT_PATH = '/run/soradns/docker.sock';

export const dockerProxyCommand: Command = {
  name: 'dockerproxy',
  summary: 'Pass on to Docker what the registrar asks, and nothing that changes anything',
  positionals: [],
  options: [
    {
      name: 'listen',
      form: 'text',
      placeholder: 'PATH',
      describe: 'the socket to make; whoever may enter its folder may ask',
      defaultText: DEFAULT_PATH,
    },
    ...wordsOf(ROWS),
  ],
  examples: [
    ['soradns dockerproxy', "beside Docker's own socket"],
    ['soradns register --docker-host unix:///run/soradns/docker.sock', 'who then needs no rights'],
  ],
  async run({ flags }, io) {
    const { env, readFile } = io;
    const { settings, mistakes } = readSettings(ROWS, { flags, env, readFile, file: undefined });
    if (mistakes.length > 0) throw new Failure('usage', mistakes.join('; '));
    const endpoint = engineEndpoint(settings.dockerHost, '--docker-host', io);
    const path = typeof flags.listen === 'string' ? flags.listen : DEFAULT_PATH;
    io.handleSignals();
    io.outliveReaders();
    const proxy = await startReadOnlyProxy(endpoint, path).catch((error: unknown) => {
      const { code, message } = failureOf(error);
      throw new Failure(code, `--listen: ${path}: ${message}`, 'choose a folder to write to');
    });
    const log = await openLog({ level: 'info', pretty: io.stdout.isTty });
    guard(log);
    log.info({ listen: path, docker: endpointLabel(endpoint) }, 'passing on');
    await stopped(io.stop);
    await proxy.close();
    log.info({ signal: io.stop.reason }, 'stopped');
    log.close();
    return 0;
  },
};
