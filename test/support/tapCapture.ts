/** Reads dnstap with fstrm_capture, and decodes what it wrote without the code under test. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from './until.ts';

/** Why fstrm_capture cannot run here; false if it can. */
export function captureSkipReason(): string | false {
  const tools = ['fstrm_capture', 'dnstap-ldns'];
  const missing = tools.filter((tool) => spawnSync(tool, ['--help']).error !== undefined);
  return missing.length > 0 && `not installed: ${missing.join(', ')}`;
}

export interface TapCapture {
  readonly process: ChildProcess;
  /** Ends the capture; returns what it wrote. */
  stop(): Promise<CapturedTap>;
}

export interface CapturedTap {
  readonly messages: readonly CapturedMessage[];
  /** The lines of `dnstap-ldns -q`, one for each message. */
  readonly lines: readonly string[];
}

export interface CapturedMessage {
  readonly identity: string | undefined;
  readonly version: string | undefined;
  /** As in dnstap.proto: `AUTH_QUERY`. */
  readonly type: string;
  readonly family: number;
  readonly protocol: number;
  readonly queryAddress: string;
  readonly responseAddress: string | undefined;
  readonly queryPort: number;
  readonly responsePort: number | undefined;
  readonly querySeconds: number;
  readonly responseSeconds: number | undefined;
  readonly octets: Buffer;
}

/** Listens on `folder/tap.sock`, or on a TCP port of 127.0.0.1. Writes to a new file in the folder. */
export async function startCapture(
  folder: string,
  name: string,
  port?: number,
): Promise<TapCapture> {
  const file = join(folder, name);
  const socket = join(folder, 'tap.sock');
  const where = port === undefined ? ['-u', socket] : ['-a', '127.0.0.1', '-p', String(port)];
  const child = spawn('fstrm_capture', [
    '-t',
    'protobuf:dnstap.Dnstap',
    ...where,
    '-w',
    file,
    '-d',
    '-d',
  ]);
  let output = '';
  child.stderr.on('data', (chunk: Buffer) => {
    output += chunk;
  });
  await until(
    'fstrm_capture listens',
    () => /opened|listening/i.test(output) || existsSync(socket),
  );
  return {
    process: child,
    async stop() {
      child.kill('SIGTERM');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      const messages = existsSync(file) ? framesOf(readFileSync(file)).map(decodeFrame) : [];
      const printed =
        messages.length === 0
          ? ''
          : execFileSync('dnstap-ldns', ['-q', '-r', file], { maxBuffer: 2 ** 28 }).toString();
      return { messages, lines: printed.split('\n').filter((line) => line !== '') };
    },
  };
}

/** The payloads of a Frame Streams file, without its control frames. */
export function framesOf(file: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < file.length; ) {
    const length = file.readUInt32BE(at);
    if (length === 0) {
      at += 8 + file.readUInt32BE(at + 4);
      continue;
    }
    assert.ok(at + 4 + length <= file.length, 'a frame is cut');
    frames.push(file.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return frames;
}

const TYPES = new Map([
  [1, 'AUTH_QUERY'],
  [2, 'AUTH_RESPONSE'],
  [5, 'CLIENT_QUERY'],
  [6, 'CLIENT_RESPONSE'],
  [7, 'FORWARDER_QUERY'],
  [8, 'FORWARDER_RESPONSE'],
]);

type Fields = ReadonlyMap<number, number | Buffer>;

/** One dnstap.Dnstap; fails if it is none. */
export function decodeFrame(frame: Buffer): CapturedMessage {
  const outer = fieldsOf(frame);
  assert.equal(outer.get(15), 1, 'its type is MESSAGE');
  const inner = fieldsOf(octetsIn(outer, 14) ?? Buffer.alloc(0));
  const number = (field: number): number | undefined => {
    const value = inner.get(field);
    return typeof value === 'number' ? value : undefined;
  };
  const type = TYPES.get(number(1) ?? 0) ?? '';
  const isResponse = type.endsWith('RESPONSE');
  const octets = octetsIn(inner, isResponse ? 14 : 10);
  assert.ok(octets !== undefined, `${type} has a DNS message`);
  assert.ok((number(9) ?? 1e9) < 1e9 && (number(13) ?? 0) < 1e9, 'nanoseconds are below a second');
  const address = octetsIn(inner, 5);
  return {
    identity: octetsIn(outer, 1)?.toString(),
    version: octetsIn(outer, 2)?.toString(),
    type,
    family: number(2) ?? 0,
    protocol: number(3) ?? 0,
    queryAddress: printed(octetsIn(inner, 4) ?? Buffer.alloc(0)),
    responseAddress: address && printed(address),
    queryPort: number(6) ?? 0,
    responsePort: number(7),
    querySeconds: number(8) ?? 0,
    responseSeconds: number(12),
    octets,
  };
}

function octetsIn(fields: Fields, field: number): Buffer | undefined {
  const value = fields.get(field);
  return Buffer.isBuffer(value) ? value : undefined;
}

function printed(address: Buffer): string {
  return address.length === 4 ? address.join('.') : address.toString('hex');
}

/** The fields of a protobuf message with varints, octets and fixed32. */
function fieldsOf(message: Buffer): Fields {
  const fields = new Map<number, number | Buffer>();
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const octet = message.readUInt8(at++);
      value += (octet & 0x7f) * factor;
      if (octet < 128) return value;
    }
  };
  while (at < message.length) {
    const tag = varint();
    const field = Math.floor(tag / 8);
    assert.ok(!fields.has(field), `field ${field} comes once`);
    const wireType = tag % 8;
    if (wireType === 0) fields.set(field, varint());
    else if (wireType === 5) {
      fields.set(field, message.readUInt32LE(at));
      at += 4;
    } else {
      assert.equal(wireType, 2);
      const length = varint();
      assert.ok(at + length <= message.length, `field ${field} is whole`);
      fields.set(field, message.subarray(at, at + length));
      at += length;
    }
  }
  return fields;
}
