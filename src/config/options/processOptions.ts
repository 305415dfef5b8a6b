/** The option rows for the server's process: start, stop, log and dnstap. */
import { parseSocketAddress } from '../../dns/address.ts';
import type { TapKind } from '../../dnstap/dnstap.ts';
import type { TapTarget } from '../../dnstap/tapConnection.ts';
import { option } from './option.ts';
import {
  listOf,
  oneOfValue,
  parsedBy,
  parseLinesPerSecond,
  switchValue,
  wholeNumberValue,
} from './valueForms.ts';

const KINDS = ['client', 'forwarder'] as const satisfies readonly TapKind[];

export const PROCESS_OPTIONS = {
  tapTarget: option<TapTarget | undefined>({
    name: 'dnstap',
    form: 'text',
    placeholder: 'WHERE',
    describe: 'send copies of DNS messages to the reader that listens there',
    schema: parsedBy(parseTapTarget),
    fallback: undefined,
    expects: 'unix:PATH or tcp://IP:PORT',
    example: 'unix:/run/dnstap.sock',
    fixedAtStart: true,
  }),
  tapKinds: option<readonly TapKind[]>({
    name: 'dnstap-what',
    form: 'list',
    placeholder: 'WHOSE',
    choices: KINDS,
    describe:
      'which messages --dnstap sends: those of clients, or those of upstreams (forwarder); repeatable',
    schema: listOf(oneOfValue(...KINDS)),
    fallback: ['client'],
    defaultText: 'client',
    expects: 'client or forwarder',
    example: 'forwarder',
    fixedAtStart: true,
  }),
  tapSample: option<number>({
    name: 'dnstap-sample',
    form: 'text',
    placeholder: 'COUNT',
    describe: 'send the messages of one query in so many',
    schema: wholeNumberValue(1, 1_000_000),
    fallback: 1,
    defaultText: '1',
    expects: 'a whole number from 1 to 1000000',
    example: '100',
    fixedAtStart: true,
  }),
  takeover: option<boolean>({
    name: 'takeover',
    form: 'switch',
    describe: 'take over from a running server: load the store, then share its addresses',
    schema: switchValue,
    fallback: false,
    defaultText: 'false',
    expects: 'true or false',
    example: 'true',
  }),
  lameDuckSeconds: option<number>({
    form: 'text',
    placeholder: 'SECONDS',
    name: 'lame-duck',
    describe: 'how long to keep answering after SIGTERM; /readyz fails meanwhile',
    schema: wholeNumberValue(0, 3600),
    fallback: 1,
    defaultText: '1',
    expects: 'whole seconds from 0 to 3600',
    example: '5',
    live: true,
  }),
  storeRepair: option<boolean>({
    name: 'store-repair',
    form: 'switch',
    describe: 'if the embedded store is damaged, move it aside and start with the readable names',
    schema: switchValue,
    fallback: false,
    defaultText: 'false',
    expects: 'true or false',
    example: 'true',
  }),
  logLevel: option<'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent'>({
    name: 'log-level',
    form: 'text',
    placeholder: 'LEVEL',
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'silent'],
    describe: 'lowest level of log messages: trace, debug, info, warn, error or silent',
    schema: oneOfValue('trace', 'debug', 'info', 'warn', 'error', 'silent'),
    fallback: 'info',
    defaultText: 'info',
    expects: 'trace, debug, info, warn, error or silent',
    example: 'info',
    live: true,
  }),
  logQueriesPerSecond: option<number>({
    name: 'log-queries',
    form: 'text',
    placeholder: 'PER_SECOND',
    bareValue: '100',
    negatable: true,
    describe: 'log at most this many queries a second (100 without a value)',
    schema: parsedBy(parseLinesPerSecond),
    fallback: 0,
    defaultText: 'off',
    expects: 'a whole number of lines a second from 0 to 999999',
    example: '100',
    live: true,
  }),
  systemd: option<boolean | undefined>({
    name: 'systemd',
    form: 'switch',
    describe: 'serve the sockets from systemd instead of --addr; false: ignore them',
    schema: switchValue,
    fallback: undefined,
    defaultText: 'if systemd passes sockets',
    expects: 'true or false',
    example: 'true',
    env: ['SKYDNS_SYSTEMD'],
    jsonKeys: ['systemd'],
    fixedAtStart: true,
  }),
};

/** `undefined` for any other text. */
function parseTapTarget(text: string): TapTarget | undefined {
  const [, path] = /^unix:(?:\/\/)?(\/.+)$/.exec(text) ?? [];
  if (path !== undefined) return { kind: 'unix', path };
  const [, address = ''] = /^tcp:\/\/(.+)$/.exec(text) ?? [];
  const endpoint = parseSocketAddress(address);
  return endpoint && endpoint.port > 0 ? { kind: 'tcp', ...endpoint } : undefined;
}
