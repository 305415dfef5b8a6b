import { LEGACY_OPTIONS } from '../config/legacyOptions.ts';
import { SERVE_REGISTRAR_OPTIONS } from '../config/registerOptions.ts';
import { SERVE_OPTIONS } from '../config/serveOptions.ts';
import { STORE_OPTIONS } from '../config/storeOptions.ts';
import { readConfig } from '../config.ts';
import { type Command, wordsOf } from './command.ts';
import { engineEndpoint } from './engineEndpoint.ts';
import { Failure } from './failure.ts';

export const serveCommand: Command = {
  name: 'serve',
  summary: 'Answer DNS queries, and keep names over HTTP',
  positionals: [],
  options: [
    {
      name: 'config',
      form: 'text',
      placeholder: 'FILE',
      describe: 'JSON file with options by name',
    },
    ...wordsOf(SERVE_OPTIONS),
    ...wordsOf(STORE_OPTIONS).map((words) =>
      words.name === 'store' ? { ...words, defaultText: 'file: in the state directory' } : words,
    ),
    ...wordsOf(SERVE_REGISTRAR_OPTIONS),
    ...LEGACY_OPTIONS,
  ],
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
  async run({ flags }, io) {
    const { env, readFile, stateDirectory } = io;
    const read = readConfig({ flags, env, readFile, stateDirectory });
    if (read.kind === 'mistakes') throw new Failure('usage', read.mistakes.join('; '));
    const { registrar } = read.config;
    const docker =
      registrar && engineEndpoint(registrar.settings.dockerHost, '--register-docker-host', io);
    io.handleSignals();
    const { serve } = await import('./serve.ts');
    return serve({ config: read.config, docker, notes: read.notes }, io);
  },
};
