/** A transfer as a client reads it, from a server whose messages a test chooses. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, it } from 'node:test';
import { transferRecords } from '../../src/cli/zoneTransfer.ts';
import { encodeResponse } from '../../src/dns/encode.ts';
import { frame, Reassembly } from '../../src/dns/framing.ts';
import { authoritative } from '../../src/dns/message.ts';
import { nameKey } from '../../src/dns/name.ts';
import { Class, Rcode, type Rr, Type } from '../../src/dns/rr.ts';
import type { TsigSigner } from '../../src/transfer/tsig.ts';
import { verifyTsig } from '../../src/transfer/tsig.ts';
import type { TsigKey } from '../../src/transfer/tsigKeys.ts';
import { name, question } from '../support/zone.ts';

const ZONE = 'skydns.local.';
const KEY: TsigKey = {
  name: name('secondary.'),
  algorithm: 'hmac-sha256',
  secret: Buffer.from('a secret of the secondary'),
};

const PLAIN = { class: Class.IN, ttlSeconds: 60 };

function soa(serial: number): Rr {
  const zone = name(ZONE);
  const times = { refreshSeconds: 1, retrySeconds: 1, expireSeconds: 1, minimumSeconds: 1 };
  const rdata = { kind: 'soa', mname: zone, rname: zone, serial, ...times } as const;
  return { ...PLAIN, owner: zone, type: Type.SOA, rdata };
}

function address(label: string): Rr {
  const rdata = { kind: 'address', address: '10.0.0.1' } as const;
  return { ...PLAIN, owner: name(`${label}.${ZONE}`), type: Type.A, rdata };
}

interface Scripted {
  readonly rrs: readonly Rr[];
  readonly isSigned?: boolean;
}

/** The types that the client has read, message after message; ends with the text of its failure. */
async function read(
  messages: readonly Scripted[],
  asked: { readonly serial?: number; readonly key?: TsigKey } = {},
): Promise<(readonly number[] | string)[]> {
  const server = createServer((socket) => {
    const input = new Reassembly();
    socket.on('error', () => {});
    socket.once('data', (chunk) => {
      input.push(chunk);
      const next = input.next();
      assert.ok(next.kind === 'message');
      socket.end(Buffer.concat(repliesTo(next.message, messages)));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const found: (readonly number[] | string)[] = [];
  try {
    const records = transferRecords({
      server: { address: '127.0.0.1', port },
      zone: name(ZONE),
      serial: asked.serial,
      key: asked.key,
      timeoutMs: 10_000,
    });
    for await (const rrs of records) found.push(rrs.map(({ type }) => type));
  } catch (error) {
    found.push((error as Error).message.replace(/^.*: /, ''));
  } finally {
    server.close();
  }
  return found;
}

function repliesTo(packet: Uint8Array, messages: readonly Scripted[]): Uint8Array[] {
  const nowSeconds = Math.floor(Date.now() / 1000);
  const verified = verifyTsig(packet, new Map([[nameKey(KEY.name), KEY]]), nowSeconds);
  const signer: TsigSigner | undefined = verified.kind === 'signed' ? verified.signer : undefined;
  const header = { id: Buffer.from(packet).readUInt16BE(0), question: question(ZONE, 'AXFR') };
  const query = { ...header, recursionDesired: false, checkingDisabled: false, edns: undefined };
  return messages.map(({ rrs, isSigned = true }) => {
    const reply = encodeResponse(query, authoritative(Rcode.NOERROR, rrs), 65_535);
    return frame(signer !== undefined && isSigned ? signer.sign(reply, nowSeconds) : reply);
  });
}

const { A, SOA } = Type;

describe('A transfer with a key', () => {
  const begin = { rrs: [soa(1), address('a')] };
  const end = { rrs: [soa(1)] };

  it('A transfer whose last message is not signed fails, and its last records are not given', async () => {
    assert.deepEqual(await read([begin, { ...end, isSigned: false }], { key: KEY }), [
      [SOA, A],
      'the last message is not signed',
    ]);
  });

  it('A transfer whose messages are all signed ends', async () => {
    assert.deepEqual(await read([begin, end], { key: KEY }), [[SOA, A], [SOA]]);
  });
});

describe('A transfer of changes', () => {
  it('A newer SOA that comes alone in the first message begins a transfer', async () => {
    const messages = [{ rrs: [soa(9)] }, { rrs: [soa(7), soa(9), address('a'), soa(9)] }];
    assert.deepEqual(await read(messages, { serial: 7 }), [[SOA], [SOA, SOA, A, SOA]]);
  });

  for (const serial of [7, 8]) {
    it(`An SOA with serial 7 alone ends a transfer of changes since serial ${serial}`, async () => {
      assert.deepEqual(await read([{ rrs: [soa(7)] }], { serial }), [[SOA]]);
    });
  }
});
