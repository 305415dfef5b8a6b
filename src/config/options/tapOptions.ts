/** The option rows of dnstap. */
import { parseSocketAddress } from '../../dns/address.ts';
import type { TapKind } from '../../dnstap/dnstap.ts';
import type { TapTarget } from '../../dnstap/tapConnection.ts';
import { option } from './option.ts';
import { listOf, oneOfValue, parsedBy, wholeNumberValue } from './valueForms.ts';

const KINDS = ['client', 'forwarder'] as const satisfies readonly TapKind[];

export const TAP_OPTIONS = {
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
};

/** `undefined` for any other text. */
function parseTapTarget(text: string): TapTarget | undefined {
  const [, path] = /^unix:(?:\/\/)?(\/.+)$/.exec(text) ?? [];
  if (path !== undefined) return { kind: 'unix', path };
  const [, address = ''] = /^tcp:\/\/(.+)$/.exec(text) ?? [];
  const endpoint = parseSocketAddress(address);
  return endpoint && endpoint.port > 0 ? { kind: 'tcp', ...endpoint } : undefined;
}
