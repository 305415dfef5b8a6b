/** `soradns register`: from its options to a running registrar, or to a dry run. */
import { Failure } from '../../app/process/failure.ts';
import { engineEndpoint } from '../../app/process/network.ts';
import type { Io } from '../../app/process/process.ts';
import {
  type RegisterConfig,
  type RegistratorLine,
  registrarContextOf,
  registratorLine,
} from '../../app/registrar/registrarConfig.ts';
import { readClientConfig } from '../../config/clientConfig.ts';
import { wordsOf } from '../../config/options/option.ts';
import { REGISTER_COMMAND_OPTIONS } from '../../config/options/registrarOptions.ts';
import {
  idlePatternNotes,
  type RegistrarSettingsAndOrigins,
  readRegistrarSettings,
} from '../../config/registrarSettings.ts';
import type { Arguments } from '../../config/settings.ts';
import type { StoreLocation } from '../../config/storeLocation.ts';
import type { Name } from '../../dns/name.ts';
import { keyPrefix } from '../../service/key.ts';
import type { Command } from '../command.ts';
import { CLIENT_OPTIONS } from '../storeAccess.ts';
import { printDryRun } from './dryRun.ts';

const DEFAULT_ZONES: readonly Name[] = [['skydns', 'local']];

export const registerCommand: Command = {
  name: 'register',
  summary: 'Register the containers of this Docker host in the store',
  positionals: [
    {
      name: 'registrator',
      describe: 'with --compat registrator: its flags, and skydns2://HOST:PORT/DOMAIN',
      required: false,
      many: true,
    },
  ],
  options: [...wordsOf(REGISTER_COMMAND_OPTIONS), ...CLIENT_OPTIONS],
  examples: [
    ['soradns register', 'register the local containers in the server on this host'],
    ['soradns register --dry-run', 'print what would be written, and why'],
    [
      'soradns register --store etcd://10.0.0.1:2379 --ip 10.0.0.7 --region east',
      'on a host of a cluster',
    ],
    [
      'soradns register --mode internal --exposed-by-default',
      'register containers with their own addresses',
    ],
    [
      'soradns register --compat=registrator -internal skydns2://10.0.0.1:2379/skydns.local',
      "run with registrator's command line",
    ],
  ],
  note: `Containers set their names themselves:

  docker run -e DNS_NAME=1.rails.production.east.skydns.local -p 8080:8080 IMAGE
  docker run --label dns.service=rails --label dns.instance=auto -p 8080 IMAGE

Every option can also be set by an environment variable (--mode by SORADNS_MODE).`,
  async run(args, io) {
    const config = readRegister(args, io);
    io.handleSignals();
    const { dryRun, register } = await import('../../app/registerProcess.ts');
    if (!config.settings.dryRun) return register(config, io);
    const { status, events } = await dryRun(config, io);
    printDryRun(status, events, config, io.stdout);
    return 0;
  },
};

function readRegister({ flags, words }: Arguments, io: Io): RegisterConfig {
  const { env, readFile } = io;
  const sources = { flags, env, readFile, file: undefined };
  const own = readRegistrarSettings(REGISTER_COMMAND_OPTIONS, sources, DEFAULT_ZONES);
  const line = own.mistakes.length > 0 ? undefined : lineSettings(own, words);
  // --store takes precedence over the etcd in registrator's URI.
  const isChosen = flags.store !== undefined || Boolean(env.SORADNS_STORE);
  const store = isChosen ? undefined : line?.store;
  const client = readClientConfig({ ...sources, flags: store ? { ...flags, store } : flags });
  const mistakes = [...own.mistakes, ...(client.kind === 'mistakes' ? client.mistakes : [])];
  if (line === undefined || client.kind === 'mistakes') throw mistakesFailure(mistakes);
  const { settings, tags } = line;
  if (!settings.dryRun) refuseOwnStore(client.config.store);
  const prefix = keyPrefix(client.config.pathPrefix);
  const isUriUnused = isChosen && line.store !== undefined;
  return {
    endpoint: engineEndpoint(settings.dockerHost, '--docker-host', io),
    store: client.config.store,
    settings,
    context: registrarContextOf(settings, { prefix, domains: DEFAULT_ZONES, tags }),
    http: own.settings.http,
    httpHosts: own.settings.httpHosts,
    logLevel: own.settings.logLevel,
    mustHaveHttp: own.origins.http !== 'default',
    json: flags.json === true,
    quiet: flags.quiet === true,
    notes: [
      ...line.notes,
      ...idlePatternNotes(settings, DEFAULT_ZONES, 'allow'),
      ...(isUriUnused ? [`${line.store} has no effect: --store is set`] : []),
    ],
  };
}

type RegistratorSettings = Extract<RegistratorLine, { kind: 'line' }>;

/** The settings from registrator's command line; without --compat registrator no words are allowed. */
function lineSettings(
  given: RegistrarSettingsAndOrigins,
  words: readonly string[],
): RegistratorSettings {
  const { settings } = given;
  if (settings.compat.includes('registrator')) {
    const line = registratorLine(given, words);
    if (line.kind === 'mistakes') throw mistakesFailure(line.mistakes);
    return line;
  }
  const [word] = words;
  if (word === undefined) return { kind: 'line', settings, store: undefined, tags: [], notes: [] };
  const hint = "for registrator's command line, put --compat=registrator before it";
  throw new Failure('usage', `${word}: unexpected argument`, hint);
}

function mistakesFailure(mistakes: readonly string[]): Failure {
  return new Failure('usage', mistakes.join('; '), 'see soradns register --help');
}

/** Refuses a store that no server could read while this process has it open. */
function refuseOwnStore({ kind }: StoreLocation): void {
  if (kind === 'etcd' || kind === 'http') return;
  const store = kind === 'file' ? 'file:DIR' : 'memory:';
  throw new Failure(
    'usage',
    `--store: no server can read ${store} while the registrar has it open`,
    `use the http://HOST:PORT of a server, or run: soradns serve --register --store ${store}`,
  );
}
