/** `soradns ambassador`: from its words, the environment and options to a running proxy, or to a report of one. */
import { type ListeningRoute, parseRoutes, routeTexts } from '../../ambassador/dropIn.ts';
import type { IsOurs } from '../../ambassador/targetText.ts';
import type { AmbassadorConfig } from '../../app/ambassador/ambassadorConfig.ts';
import { fetchAmbassadorReport } from '../../app/ambassador/ambassadorReport.ts';
import { EXIT_CODES, Failure } from '../../app/process/failure.ts';
import type { Io } from '../../app/process/process.ts';
import { readClientConfig } from '../../config/clientConfig.ts';
import { AMBASSADOR_COMMAND_OPTIONS } from '../../config/options/ambassadorOptions.ts';
import { type OptionWords, wordsOf } from '../../config/options/option.ts';
import { type Arguments, readSettings } from '../../config/settings.ts';
import type { StoreLocation } from '../../config/storeLocation.ts';
import { canonicalAddress } from '../../dns/address.ts';
import { isSubdomainOf } from '../../dns/name.ts';
import type { Command } from '../command.ts';
import { jsonLine } from '../output.ts';
import { CLIENT_OPTIONS } from '../storeAccess.ts';
import { CHECK_OPTIONS, checkAmbassador } from './ambassadorCheck.ts';
import { clearAmbassador } from './ambassadorClear.ts';
import { explainRoute, printRoutes, routesNamed } from './ambassadorView.ts';

const LISTEN_OPTION: OptionWords = {
  name: 'listen',
  form: 'text',
  placeholder: 'IP',
  describe: 'address of the ports without an address of their own',
  defaultText: 'all addresses',
};

const DEFAULT_URL = 'http://127.0.0.1:4001';

const URL_OPTION: OptionWords = {
  name: 'url',
  form: 'text',
  placeholder: 'URL',
  describe: 'for status and explain: --http address of the ambassador (SORADNS_AMBASSADOR_URL)',
  defaultText: DEFAULT_URL,
};

/** Words of older ambassadors, which need no effect: the environment is read in any case. */
const DROP_IN_OPTIONS: readonly OptionWords[] = ['links', 'omnimode'].map((name) => {
  return { name, form: 'switch', describe: 'has no effect', hidden: true };
});

export const ambassadorCommand: Command = {
  name: 'ambassador',
  summary: 'Carry connections from local ports to services on any host',
  positionals: [
    {
      name: 'route',
      describe:
        'status, explain ADDRESS:PORT, check, clear, or [LISTEN=]BACKEND: LISTEN is PORT, IP:PORT, PORT/udp or /PATH; BACKEND is IP:PORT[,IP:PORT], NAME:PORT, NAME, or etcd://HOST:PORT/KEY',
      required: false,
      many: true,
    },
  ],
  options: [
    LISTEN_OPTION,
    ...wordsOf(AMBASSADOR_COMMAND_OPTIONS),
    URL_OPTION,
    ...CHECK_OPTIONS,
    ...DROP_IN_OPTIONS,
    ...CLIENT_OPTIONS.map((words) =>
      words.name === 'store'
        ? { ...words, defaultText: 'none: DNS is asked for the instances of services' }
        : words,
    ),
  ],
  examples: [
    ['soradns ambassador 6379=192.168.1.52:6379', 'carry local connections to one address'],
    [
      'soradns ambassador 6379=redis.production.east.skydns.local --store etcd://10.0.0.1:2379',
      'carry them to the instances of a service, wherever they run',
    ],
    ['soradns ambassador 53/udp=10.0.0.2:53,10.0.0.3:53', 'carry UDP to two backends'],
    ['soradns ambassador /run/redis.sock=redis.example.com:6379', 'listen on a Unix socket'],
    ['soradns ambassador status', 'list the routes of the ambassador on this host'],
    ['soradns ambassador explain 6379', 'show which record chose the backends of a route'],
    ['soradns ambassador check', 'find what keeps this host from carrying connections'],
    ['sudo soradns ambassador clear', "remove a stopped server's routes from the kernel"],
  ],
  note: `Without routes it takes those of the environment, as svendowideit/ambassador and ambassadord do:

  docker run -e REDIS_PORT_6379_TCP=tcp://192.168.1.52:6379 IMAGE ambassador
  docker run -e BACKEND_6379=redis.production.east.skydns.local IMAGE ambassador

Every option can also be set by an environment variable (--drain by SORADNS_DRAIN).

check takes the options, variables and the config file of serve; without them it checks for a server with
--vip. Exit code 0: no problem, though perhaps warnings; 1: at least one problem.

The routes of soradns up --ambassador stay in the kernel when it ends, so that connections go on and its
successor adopts them. clear removes them, and its rule in Docker's chain DOCKER-USER. While a soradns of this
host keeps them, clear exits with 5.`,
  async run(args, io) {
    const [action = ''] = args.words;
    const run = ACTIONS.get(action);
    const misplaced = CHECK_OPTIONS.find(({ name }) => args.flags[name] !== undefined);
    if (misplaced !== undefined && action !== 'check')
      throw new Failure('usage', `--${misplaced.name}: is an option of check and of serve`);
    if (run !== undefined) {
      const surplus = args.words[action === 'explain' ? 2 : 1];
      if (surplus !== undefined) throw new Failure('usage', `${surplus}: unexpected argument`);
      return run(args, io);
    }
    const config = readAmbassador(args, io);
    io.handleSignals();
    const { ambassador } = await import('../../app/ambassadorProcess.ts');
    return ambassador(config, io);
  },
};

/** The words in place of routes. */
const ACTIONS: ReadonlyMap<string, Command['run']> = new Map([
  ['status', printStatus],
  ['explain', printExplanation],
  ['check', checkAmbassador],
  ['clear', clearAmbassador],
]);

/** Exits with 3 unless every route has a backend. */
async function printStatus({ flags }: Arguments, io: Io): Promise<number> {
  const report = await fetchAmbassadorReport(urlOf(flags.url, io));
  if (flags.json) io.stdout.write(`${jsonLine(report)}\n`);
  else printRoutes(report, flags.quiet === true, io.stdout);
  return report.reasons.length === 0 ? 0 : EXIT_CODES.not_found;
}

async function printExplanation({ flags, words }: Arguments, io: Io): Promise<number> {
  const [, wanted] = words;
  if (wanted === undefined)
    throw new Failure(
      'usage',
      'explain: needs a route',
      'give ADDRESS:PORT, a container or a name',
    );
  const report = await fetchAmbassadorReport(urlOf(flags.url, io));
  const routes = routesNamed(report, wanted);
  if (routes.length === 0)
    throw new Failure('not_found', `${wanted}: no route`, 'see soradns ambassador status');
  if (flags.json) io.stdout.write(`${jsonLine(routes)}\n`);
  else for (const route of routes) explainRoute(route, io.stdout);
  return 0;
}

function urlOf(given: unknown, { env }: Io): string {
  const url = given ?? (env.SORADNS_AMBASSADOR_URL || DEFAULT_URL);
  if (typeof url === 'string' && /^https?:\/\/./.test(url) && URL.canParse(url)) return url;
  const problem = `--url: ${JSON.stringify(url)} is not a URL`;
  throw new Failure('usage', problem, `for example --url ${DEFAULT_URL}`);
}

function readAmbassador({ flags, words }: Arguments, { env, readFile }: Io): AmbassadorConfig {
  const sources = { flags, env, readFile, file: undefined };
  const { settings, mistakes } = readSettings(AMBASSADOR_COMMAND_OPTIONS, sources);
  const client = readClientConfig(sources);
  const all = [...mistakes, ...(client.kind === 'mistakes' ? client.mistakes : [])];
  if (client.kind === 'mistakes' || all.length > 0) throw misused(all);
  const isFollowed = flags.store !== undefined || Boolean(env.SORADNS_STORE);
  const store = isFollowed ? client.config.store : undefined;
  const isOurs: IsOurs = (name) =>
    isFollowed && settings.domains.some((domain) => isSubdomainOf(name, domain));
  const parsed = parseRoutes(routeTexts(words, env), isOurs);
  if (parsed.kind === 'mistakes') throw misused(parsed.mistakes);
  if (parsed.routes.length === 0) {
    const example = 'soradns ambassador 6379=redis.production.east.skydns.local';
    throw new Failure('usage', 'no routes, neither as words nor in the environment', example);
  }
  return {
    routes: parsed.routes.map((route) => withListenAddress(route, flags.listen)),
    settings,
    store,
    pathPrefix: client.config.pathPrefix,
    keyStores: keyStoresOf(parsed.routes, sources),
    notes: [],
  };
}

function misused(mistakes: readonly string[]): Failure {
  return new Failure('usage', mistakes.join('; '), 'see soradns ambassador --help');
}

function withListenAddress(route: ListeningRoute, listen: unknown): ListeningRoute {
  if (listen === undefined || route.listen.kind === 'unix' || route.listen.address !== undefined)
    return route;
  const address = typeof listen === 'string' ? canonicalAddress(listen)?.address : undefined;
  if (address === undefined)
    throw misused([`--listen: ${JSON.stringify(listen)} is not an IP address`]);
  return { ...route, listen: { ...route.listen, address } };
}

/** The stores of targets that are keys. They share the credentials of `--store`. */
function keyStoresOf(
  routes: readonly ListeningRoute[],
  sources: Parameters<typeof readClientConfig>[0],
): ReadonlyMap<string, StoreLocation> {
  const stores = new Map<string, StoreLocation>();
  for (const { target, source } of routes) {
    if (target.kind !== 'key') continue;
    const flags = { ...sources.flags, store: target.store };
    const read = readClientConfig({ ...sources, flags });
    if (read.kind === 'mistakes') throw misused(read.mistakes.map((text) => `${source}: ${text}`));
    stores.set(target.store, read.config.store);
  }
  return stores;
}
