/** `soradns query`: sends a query to a DNS server, like dig. */
import { Failure, type FailureCode } from '../../app/process/failure.ts';
import type { Io } from '../../app/process/process.ts';
import type { Arguments } from '../../config/settings.ts';
import { printSocketAddress } from '../../dns/address.ts';
import type { ExtendedError } from '../../dns/message.ts';
import { type Name, parseName, printName } from '../../dns/name.ts';
import {
  extendedErrorName,
  rcodeName,
  typeCode,
  typeName,
} from '../../dns/presentation/mnemonic.ts';
import { printRdata, printRr } from '../../dns/presentation/presentation.ts';
import { Rcode, type Rr, Type } from '../../dns/rr.ts';
import { printable } from '../../observability/printable.ts';
import type { DnsQuery, DnsReply } from '../../tools/doctor/dnsClient.ts';
import { type Command, OUTPUT_OPTIONS } from '../command.ts';
import { jsonLine, paint } from '../output.ts';
import { serverAddress } from '../serverAddress.ts';

const TIMEOUT_MS = 4000;
const DEFAULT_SERVER = '127.0.0.1:53';

export const queryCommand: Command = {
  name: 'query',
  summary: 'Query a DNS server, like dig',
  positionals: [
    {
      name: 'words',
      describe: 'NAME [TYPE] [@SERVER[:PORT]] [+tcp]; TYPE is A by default',
      required: true,
      many: true,
    },
  ],
  options: [
    {
      name: 'server',
      form: 'text',
      placeholder: 'IP[:PORT]',
      describe: 'DNS server to query (SORADNS_SERVER)',
      defaultText: DEFAULT_SERVER,
    },
    { name: 'tcp', form: 'switch', describe: 'use TCP instead of UDP' },
    {
      name: 'timeout',
      form: 'text',
      placeholder: 'SECONDS',
      describe: 'time to wait for a reply',
      defaultText: String(TIMEOUT_MS / 1000),
    },
    ...OUTPUT_OPTIONS,
  ],
  examples: [
    ['soradns query 1.rails.skydns.local SRV', 'query the local server'],
    ['soradns query rails.skydns.local @127.0.0.1:5300', 'query another port'],
    ['soradns query rails.skydns.local -q', 'print only the addresses, one per line'],
    ['soradns query rails.skydns.local TXT +tcp --json', 'print the JSON form of DNS over HTTPS'],
  ],
  async run(args, io) {
    const asked = await readArguments(args, io);
    const startedMs = performance.now();
    const { reply, transport } = await resolve(asked);
    const ms = performance.now() - startedMs;
    printReply({ ...asked, transport }, reply, ms, args, io);
    return verdict(asked, reply);
  },
};

async function readArguments({ words, flags }: Arguments, { env }: Io): Promise<DnsQuery> {
  const plain = words.filter((word) => !/^[@+]/.test(word));
  const [nameText = '', typeText = 'A', extra] = plain;
  if (extra !== undefined) throw new Failure('usage', `${extra}: unexpected argument`);
  const name = nameText === '' ? undefined : parseName(nameText);
  if (name === undefined) throw new Failure('usage', `${nameText}: is not a domain name`);
  const type = typeCode(typeText);
  if (type === undefined) {
    throw new Failure(
      'usage',
      `${typeText}: is not a record type`,
      'for example A, SRV, TXT or TYPE65',
    );
  }
  const [at, other] = words.filter((word) => word.startsWith('@'));
  if (other !== undefined) throw new Failure('usage', `${other}: give only one server`);
  const server = at?.slice(1) ?? flags.server;
  const address = await serverAddress(String(server ?? (env.SORADNS_SERVER || DEFAULT_SERVER)));
  const transport = (wantsTcp(words) ?? flags.tcp === true) ? 'tcp' : 'udp';
  return { name, type, ...address, transport, timeoutMs: timeoutMsOf(flags.timeout) };
}

/** The effect of dig's `+tcp` and `+notcp`; other `+` words are refused. */
function wantsTcp(words: readonly string[]): boolean | undefined {
  let tcp: boolean | undefined;
  for (const word of words.filter((word) => word.startsWith('+'))) {
    if (word !== '+tcp' && word !== '+notcp') {
      throw new Failure(
        'usage',
        `${word}: unknown option of dig`,
        'only +tcp and +notcp are supported',
      );
    }
    tcp = word === '+tcp';
  }
  return tcp;
}

export function timeoutMsOf(raw: unknown): number {
  if (raw === undefined) return TIMEOUT_MS;
  const seconds = /^[0-9]*\.?[0-9]+$/.test(String(raw)) ? Number(raw) : Number.NaN;
  if (!(seconds > 0 && seconds <= 300)) {
    throw new Failure(
      'usage',
      '--timeout: must be more than 0 and at most 300 seconds',
      'for example --timeout 2',
    );
  }
  return seconds * 1000;
}

type Resolved = { readonly reply: DnsReply; readonly transport: DnsQuery['transport'] };

/** Queries, and repeats a truncated answer over TCP. */
async function resolve(question: DnsQuery): Promise<Resolved> {
  const { queryDns } = await import('../../tools/doctor/dnsClient.ts');
  const asked = await queryDns(question);
  const where = `${printSocketAddress(question)} over ${question.transport.toUpperCase()}`;
  switch (asked.kind) {
    case 'noReply':
      throw new Failure(
        'no_reply',
        `no reply from ${where}: ${asked.reason}`,
        'is a server running there? @SERVER chooses another one',
      );
    case 'unsupported':
      throw new Failure('usage', `this command does not support ${asked.reason}`, 'use dig');
    case 'reply': {
      const { reply } = asked;
      if (!reply.truncated || question.transport === 'tcp') {
        return { reply, transport: question.transport };
      }
      const again = await queryDns({ ...question, transport: 'tcp' });
      return again.kind === 'reply'
        ? { reply: again.reply, transport: 'tcp' }
        : { reply, transport: 'udp' };
    }
  }
}

function printReply(
  asked: DnsQuery,
  reply: DnsReply,
  ms: number,
  { flags }: Arguments,
  { stdout }: Io,
): void {
  if (flags.json) {
    stdout.write(`${jsonLine(dohJson(asked, reply, ms))}\n`);
    return;
  }
  if (flags.quiet) {
    for (const rr of reply.answer) if (rr.type === asked.type) stdout.write(`${printRdata(rr)}\n`);
    return;
  }
  const flagWords = [reply.authoritative && 'aa', reply.truncated && 'tc']
    .filter(Boolean)
    .join(' ');
  const how = `${printSocketAddress(asked)} over ${asked.transport.toUpperCase()}, ${ms.toFixed(1)} ms`;
  const status = `;; ${rcodeName(reply.rcode)}${flagWords && ` ${flagWords}`} from ${how}`;
  stdout.write(`${paint(status, reply.rcode === Rcode.NOERROR ? 'dim' : 'yellow', stdout)}\n`);
  for (const { code, text } of reply.extendedErrors) {
    const line = `;; EDE ${code}${printedError(code, text)}`;
    stdout.write(`${paint(line, 'yellow', stdout)}\n`);
  }
  for (const rr of reply.answer) stdout.write(`${printRr(rr)}\n`);
  const rest = [...reply.authority, ...reply.additional];
  for (const rr of rest) stdout.write(`${paint(printRr(rr), 'dim', stdout)}\n`);
}

/** ` (Prohibited): no recursion`: the name of the code if it has one, and the text that the server added. */
function printedError(code: number, text: string): string {
  const name = extendedErrorName(code);
  return (name === undefined ? '' : ` (${name})`) + (text === '' ? '' : `: ${printable(text)}`);
}

/**
 * The JSON of Google's and Cloudflare's DNS over HTTPS, with the server, transport and time added, and the extended
 * errors if the reply has any.
 */
function dohJson({ name, type, transport, ...server }: DnsQuery, reply: DnsReply, ms: number) {
  return {
    Status: reply.rcode,
    TC: reply.truncated,
    RD: true,
    RA: reply.recursionAvailable,
    AA: reply.authoritative,
    Question: [{ name: printName(name), type }],
    Answer: reply.answer.map(rrJson),
    Authority: reply.authority.map(rrJson),
    Additional: reply.additional.map(rrJson),
    ...(reply.extendedErrors.length > 0 && { extendedErrors: reply.extendedErrors.map(errorJson) }),
    server: printSocketAddress(server),
    transport,
    milliseconds: Math.round(ms * 1000) / 1000,
  };
}

function errorJson({ code, text }: ExtendedError) {
  return { code, name: extendedErrorName(code), text };
}

function rrJson(rr: Rr) {
  return { name: printName(rr.owner), type: rr.type, TTL: rr.ttlSeconds, data: printRdata(rr) };
}

/** 0 for an answer with the queried type; otherwise throws a `Failure` with the reason. */
function verdict({ name, type }: { name: Name; type: number }, reply: DnsReply): number {
  const subject = `${printName(name)} ${typeName(type)}`;
  if (reply.malformed > 0) {
    throw new Failure('bad_data', `${subject}: ${reply.malformed} records could not be read`);
  }
  if (reply.rcode === Rcode.NXDOMAIN) {
    throw new Failure('not_found', `${subject}: the name does not exist`);
  }
  if (reply.rcode !== Rcode.NOERROR) {
    const code: FailureCode = reply.rcode === Rcode.REFUSED ? 'not_permitted' : 'failure';
    throw new Failure(code, `${subject}: the server answered ${rcodeName(reply.rcode)}`);
  }
  const found = reply.answer.some((rr) => rr.type === type || type === Type.ANY);
  if (!found) throw new Failure('not_found', `${subject}: the name has no record of this type`);
  return 0;
}
