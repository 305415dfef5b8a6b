/**
 * The fuzzer's initial packets: this file builds packets of all kinds, and corpus/ keeps packets that crashed a parser.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { encodeQuery, encodeResponse } from '../../src/dns/encode.ts';
import { nameOf } from '../support/messages.ts';
import {
  rawOpt,
  rawOption,
  rawPacket,
  rawQuestion,
  rawRr,
  u16,
  unhex,
} from '../support/packets.ts';
import { addressRr, queryFor, responseWith, rrOf, srvRr } from '../support/replies.ts';

export const CORPUS_FOLDER = new URL('./corpus/', import.meta.url);

export function corpus(): Buffer[] {
  return [...queries(), ...replies(), ...kept()];
}

/** Packets of a size that only TCP carries. They take a hundred times as long, so the fuzzer uses them less often. */
export function largeCorpus(): Buffer[] {
  const answer = Array.from({ length: 1200 }, (_, i) =>
    srvRr('x.skydns.local', `h${i}.skydns.local`),
  );
  const glue = Array.from({ length: 1200 }, (_, i) => addressRr(`h${i}.skydns.local`, '10.0.0.1'));
  const query = queryFor('x.skydns.local');
  const response = responseWith({ answer, additional: glue });
  const zeros = rawPacket({ counts: [1, 65535, 65535, 65535], body: [Buffer.alloc(60_000)] });
  return [Buffer.from(encodeResponse(query, response, 65535)), zeros, chains()];
}

/** A thousand names that point into one chain of compression pointers. */
function chains(): Buffer {
  const chain = u16(
    ...Array.from({ length: 6000 }, (_, i) => 0xc000 | (i === 0 ? 12 : 44 + 2 * (i - 1))),
  );
  const names = Array.from({ length: 1000 }, (_, i) =>
    rawRr(u16(0xc000 | (44 + 2 * i)), 1000, Buffer.of()),
  );
  const body = [rawQuestion('a.skydns.local'), rawRr(unhex('c00c'), 1000, chain), ...names];
  return rawPacket({ flags: 0x8400, counts: [1, 1001, 0, 0], body });
}

function queries(): Buffer[] {
  const cookie = rawOption(10, unhex('0102030405060708'));
  const subnet = rawOption(8, unhex('0001 18 00 c00002'));
  const signature = rawRr(nameOctets, 250, Buffer.alloc(58, 1));
  const question = { qname: nameOf('1.rails.production.east.skydns.local'), qtype: 33, qclass: 1 };
  return [
    rawPacket(),
    rawPacket({
      flags: 0x0120,
      counts: [1, 0, 0, 1],
      body: [rawQuestion(), rawOpt({ rdata: cookie })],
    }),
    rawPacket({
      counts: [1, 0, 0, 1],
      body: [rawQuestion(), rawOpt({ rdata: Buffer.concat([subnet, cookie]), flags: 0x8000 })],
    }),
    rawPacket({ counts: [1, 0, 0, 2], body: [rawQuestion(), rawOpt(), signature] }),
    rawPacket({ counts: [1, 0, 0, 1], body: [rawQuestion(), rawOpt({ version: 1 })] }),
    rawPacket({ flags: 0x2800, body: [rawQuestion('skydns.local', 6)] }),
    Buffer.from(encodeQuery({ id: 1, question, recursionDesired: true, checkingDisabled: false })),
  ];
}

const nameOctets = unhex('036b657900');

function replies(): Buffer[] {
  const x = 'x.skydns.local';
  const target = nameOf('y.skydns.local');
  const soa = {
    kind: 'soa',
    mname: target,
    rname: target,
    serial: 1,
    refreshSeconds: 2,
    retrySeconds: 3,
    expireSeconds: 4,
    minimumSeconds: 5,
  } as const;
  const answers = [
    [srvRr(x, 'y.skydns.local'), srvRr(x, 'z.skydns.local', 1)],
    [
      rrOf(x, 5, { kind: 'name', target }),
      addressRr('y.skydns.local', '10.0.0.1'),
      addressRr('y.skydns.local', '2001:db8::1'),
    ],
    [rrOf(x, 16, { kind: 'txt', strings: ['a', '', 'b'.repeat(255)] })],
    [
      rrOf(x, 13, { kind: 'hinfo', cpu: 'RFC8482', os: '' }),
      rrOf(x, 15, { kind: 'mx', preference: 1, exchange: target }),
    ],
    [
      rrOf(x, 39, { kind: 'name', target: [] }),
      rrOf(x, 1000, { kind: 'unknown', octets: unhex('00010203') }),
    ],
  ];
  const encoded = answers.map((answer) => {
    const sections = { answer, authority: [rrOf('skydns.local', 6, soa)], additional: answer };
    return Buffer.from(encodeResponse(queryFor(x, 255, {}), responseWith(sections), 65535));
  });
  return [...encoded, ...OLD_TYPES.map(oldReply)];
}

/** Types that soradns does not send and whose rdata has names: type and rdata; `c00c` points to a name. */
const OLD_TYPES: readonly (readonly [number, string])[] = [
  [7, 'c00c'],
  [14, 'c00cc00e'],
  [17, '0161c00cc00e'],
  [18, '0001c00c'],
  [24, `${'01'.repeat(18)}c00cffff`],
  [26, '0001c00cc00c'],
  [30, 'c00c6001'],
  [35, '0001000201730001 61c00c'],
];

function oldReply([type, rdata]: readonly [number, string]): Buffer {
  const body = [rawQuestion(), rawRr(unhex('c00c'), type, unhex(rdata)), rawOpt()];
  return rawPacket({ flags: 0x8400, counts: [1, 1, 0, 1], body });
}

function kept(): Buffer[] {
  return readdirSync(CORPUS_FOLDER)
    .filter((file) => file.endsWith('.hex'))
    .map((file) => unhex(readFileSync(new URL(file, CORPUS_FOLDER), 'utf8')));
}
