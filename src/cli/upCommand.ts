import type { FlagValue } from '../config/settings.ts';
import { DNS_PORT, printSocketAddress } from '../dns/socketAddress.ts';
import { findBridgeAddress } from '../docker/bridgeAddress.ts';
import type { EngineEndpoint } from '../docker/endpoint.ts';
import type { Command } from './command.ts';
import { Failure } from './failure.ts';
import { readIfThere } from './network.ts';
import { registrarEndpoint, runServer } from './runServer.ts';
import { configOf, SERVER_OPTIONS } from './serverConfig.ts';

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
  const { connectEngine } = await import('../docker/dockerode.ts');
  const engine = connectEngine(endpoint);
  try {
    return await findBridgeAddress(engine, readIfThere);
  } finally {
    engine.close();
  }
}
