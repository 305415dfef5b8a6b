import { findBridgeAddress } from '../../app/process/bridgeAddress.ts';
import { Failure } from '../../app/process/failure.ts';
import { engineEndpoint, readIfThere } from '../../app/process/network.ts';
import type { Io } from '../../app/process/process.ts';
import { type Config, readConfig } from '../../config/config.ts';
import type { FlagValue } from '../../config/settings.ts';
import { DNS_PORT, printSocketAddress } from '../../dns/address.ts';
import type { EngineEndpoint } from '../../registrar/engine/endpoint.ts';
import type { Command } from '../command.ts';
import { configOf, SERVER_OPTIONS } from '../serverConfig.ts';

export const serveCommand: Command = {
  name: 'serve',
  summary: 'Answer DNS queries, and keep names over HTTP',
  positionals: [],
  options: SERVER_OPTIONS,
  examples: [
    ['soradns serve --addr 127.0.0.1:5300', 'try it, without root'],
    ['soradns serve --store etcd://10.0.0.1:2379,10.0.0.2:2379', 'names shared by many hosts'],
    ['soradns serve --addr 172.17.0.1:53 --domain skydns.local', 'for docker run --dns 172.17.0.1'],
    ['soradns serve --addr 172.17.0.1:53 --register', 'and with the names of its containers'],
    ['soradns serve --store memory: --no-rec --log-queries', 'nothing kept, nothing forwarded'],
  ],
  note: `Every option can also be set by a variable, --min-ttl by SORADNS_MIN_TTL, and by its name in the
config file. A flag counts for more than a variable, that for more than the config file, and that
for more than the key /skydns/config in the store. SkyDNS's variables and its -flags work too.`,
  run: ({ flags }, io) => runServer(flags, io),
};

/** What the commands do that end in a running server: read what it was told, find its engine, serve. */

/** Serves until it is told to stop. `decisions` are for the log; throws a `Failure` when it cannot begin. */
export async function runServer(
  flags: Readonly<Record<string, FlagValue>>,
  io: Io,
  decisions: readonly string[] = [],
): Promise<number> {
  const { config, notes } = configOf(flags, io);
  const docker = registrarEndpoint(config, io);
  const { env, readFile, stateDirectory } = io;
  const readAgain = () => readConfig({ flags, env, readFile, stateDirectory });
  io.handleSignals();
  const { serve } = await import('../../app/serve.ts');
  return serve({ config, docker, notes, decisions, readAgain }, io);
}

/** The engine whose containers the server registers, if it is to; throws a `Failure` over a setting that cannot be. */
export function registrarEndpoint({ registrar }: Config, io: Io): EngineEndpoint | undefined {
  return registrar && engineEndpoint(registrar.settings.dockerHost, '--register-docker-host', io);
}

/** What `up` has otherwise than `serve`, by option. */
const DEFAULTS: Readonly<Record<string, string>> = {
  addr: "the host's address on Docker's bridge, port 53",
  register: 'true',
};

export const upCommand: Command = {
  name: 'up',
  summary: 'All that a Docker host needs: answer its containers, and keep their names',
  positionals: [],
  options: SERVER_OPTIONS.map((words) => {
    const defaultText = DEFAULTS[words.name];
    return defaultText === undefined ? words : { ...words, defaultText };
  }),
  examples: [
    ['soradns up', 'one host, names kept on its disk'],
    ['soradns up --store etcd://10.0.0.1:2379', 'each of many hosts'],
    ['soradns up --addr 172.17.0.1:53 --addr 10.0.0.7:53', 'not only for containers'],
  ],
  note: `It is soradns serve --register, listening where the containers of this host look for it:

  docker run --dns 172.17.0.1 -e DNS_NAME=1.rails.production.east.skydns.local -p 8080:8080 IMAGE

All of soradns serve --help applies.`,
  async run({ flags }, io) {
    if (flags.register === false) {
      throw new Failure('usage', '--register: up always registers', 'write: soradns serve');
    }
    const upFlags: Record<string, FlagValue> = { register: true, ...flags };
    const { config } = configOf(upFlags, io);
    const engine = registrarEndpoint(config, io);
    if (config.origins.addr !== 'default' || engine === undefined) return runServer(upFlags, io);
    const { address, origin } = await bridgeAddressOf(engine);
    const addr = printSocketAddress({ address, port: DNS_PORT });
    const decision = `answering on ${addr}, ${origin}`;
    return runServer({ ...upFlags, addr }, io, [decision]);
  },
};

async function bridgeAddressOf(endpoint: EngineEndpoint) {
  const { connectEngine } = await import('../../registrar/engine/dockerode.ts');
  const engine = connectEngine(endpoint);
  try {
    return await findBridgeAddress(engine, readIfThere);
  } finally {
    engine.close();
  }
}
