/** `soradns serve` and `soradns up`: from their options to a running server. */
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
  summary: 'Run the DNS server and its HTTP API',
  positionals: [],
  options: SERVER_OPTIONS,
  examples: [
    ['soradns serve --addr 127.0.0.1:5300', 'try it without root'],
    ['soradns serve --store etcd://10.0.0.1:2379,10.0.0.2:2379', 'share names between many hosts'],
    ['soradns serve --addr 172.17.0.1:53 --domain skydns.local', 'for docker run --dns 172.17.0.1'],
    ['soradns serve --addr 172.17.0.1:53 --register', 'also register the containers of this host'],
    [
      'soradns serve --store memory: --no-rec --log-queries',
      'keep nothing, forward nothing, log queries',
    ],
  ],
  note: `Every option can also be set by an environment variable (--min-ttl by SORADNS_MIN_TTL) and by its
name in the config file. Precedence: flag, environment variable, config file, then the key
/skydns/config in the store. SkyDNS's variables and -flags work too.`,
  run: ({ flags }, io) => runServer(flags, io),
};

/**
 * Reads the configuration, finds the engine, and serves until a signal. `decisions` are for the log. Throws a `Failure`
 * if the server cannot start.
 */
async function runServer(
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

/** The engine whose containers the server registers, if any. Throws a `Failure` for an unusable setting. */
function registrarEndpoint({ registrar }: Config, io: Io): EngineEndpoint | undefined {
  return registrar && engineEndpoint(registrar.settings.dockerHost, '--register-docker-host', io);
}

/** The defaults of `up` that differ from those of `serve`. */
const DEFAULTS: Readonly<Record<string, string>> = {
  addr: "the host's address on Docker's bridge, port 53",
  register: 'true',
};

export const upCommand: Command = {
  name: 'up',
  summary: 'Run the DNS server and the registrar for this Docker host',
  positionals: [],
  options: SERVER_OPTIONS.map((words) => {
    const defaultText = DEFAULTS[words.name];
    return defaultText === undefined ? words : { ...words, defaultText };
  }),
  examples: [
    ['soradns up', 'on one host, with its names on disk'],
    ['soradns up --store etcd://10.0.0.1:2379', 'on each of many hosts'],
    ['soradns up --addr 172.17.0.1:53 --addr 10.0.0.7:53', 'also for other hosts'],
  ],
  note: `Same as soradns serve --register, but it listens where the containers of this host reach it:

  docker run --dns 172.17.0.1 -e DNS_NAME=1.rails.production.east.skydns.local -p 8080:8080 IMAGE

See soradns serve --help for more.`,
  async run({ flags }, io) {
    if (flags.register === false) {
      throw new Failure('usage', '--register: up always registers', 'use soradns serve');
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
