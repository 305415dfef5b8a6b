/** Runs dig and parses its output. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { SocketAddress } from '../../src/dns/address.ts';

export interface DigReply {
  readonly text: string;
  readonly status: string | undefined;
  readonly opcode: string | undefined;
  /** Header flags, as `qr aa rd`. */
  readonly flags: readonly string[];
  /** The text after `; EDNS:`, e.g. `version: 0, flags: do; udp: 1232`; undefined without an OPT record. */
  readonly edns: string | undefined;
  readonly answer: readonly string[];
  readonly authority: readonly string[];
  readonly additional: readonly string[];
  readonly messageOctets: number;
}

const run = promisify(execFile);

/** `dig @server -p port +tries=1 +time=5 <args>`; rejects when dig gets no reply. */
export async function dig(server: SocketAddress, ...args: string[]): Promise<DigReply> {
  const fixed = [`@${server.address}`, '-p', String(server.port), '+tries=1', '+time=5'];
  const { stdout } = await run('dig', [...fixed, ...args]);
  return {
    text: stdout,
    status: /status: (\w+)/.exec(stdout)?.[1],
    opcode: /opcode: (\w+)/.exec(stdout)?.[1],
    flags: (/;; flags: ([a-z ]*);/.exec(stdout)?.[1] ?? '')
      .split(' ')
      .filter((flag) => flag !== ''),
    edns: /; EDNS: (.*)/.exec(stdout)?.[1],
    answer: section(stdout, 'ANSWER'),
    authority: section(stdout, 'AUTHORITY'),
    additional: section(stdout, 'ADDITIONAL'),
    messageOctets: Number(/MSG SIZE {2}rcvd: (\d+)/.exec(stdout)?.[1]),
  };
}

function section(text: string, title: string): string[] {
  const body = new RegExp(`;; ${title} SECTION:\n([^]*?)(\n\n|$)`).exec(text)?.[1] ?? '';
  return body.split('\n').flatMap((line) => (line === '' ? [] : [line.replace(/\s+/g, ' ')]));
}
