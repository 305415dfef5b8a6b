import type { Command } from './command.ts';
import { runServer } from './runServer.ts';
import { SERVER_OPTIONS } from './serverConfig.ts';

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
