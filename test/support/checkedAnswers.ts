/**
 * Answers that prove that they are whole: each carries the number of its name and a checksum over its octets. For tests
 * of the table's memory, which does not read the answers that it holds.
 */
import { Outcome } from '../../src/dataplane/reply/fastPath.ts';
import type { NewAnswer } from '../../src/dataplane/table/answers.ts';
import { CUT_WORDS, FOREVER, packCounts, wordsFor } from '../../src/dataplane/table/layout.ts';
import { rawPacket, rawQuestion, wireName } from './packets.ts';

const HEADER_OCTETS = 12;
const CHECK_OCTETS = 12;

export function checkedName(id: number): Buffer {
  return wireName(`name${id}.checked.example.`);
}

export function queryFor(id: number, qtype = 1): Buffer {
  return rawPacket({ body: [rawQuestion(`name${id}.checked.example.`, qtype)] });
}

/** An answer for the name `id`, with `filling` octets besides its checksum, `id` and `salt`. */
export function checkedAnswer(id: number, filling: number, salt: number): NewAnswer {
  const octets = Buffer.alloc(CHECK_OCTETS + filling);
  octets.writeUInt32BE(id, 4);
  octets.writeUInt32BE(salt, 8);
  for (let i = CHECK_OCTETS; i < octets.length; i++) octets[i] = (salt * 31 + i * 7) & 0xff;
  octets.writeUInt32BE(checksum(octets), 0);
  const bodyAt = 1 + CUT_WORDS;
  const words = new Int32Array(bodyAt + wordsFor(octets.length));
  words.set([1, octets.length, packCounts(1, 0, 0)]);
  new Uint8Array(words.buffer).set(octets, bodyAt * 4);
  return {
    untilSecond: FOREVER,
    ttlsAtSecond: 0,
    rcode: 0,
    authoritative: true,
    plainOnly: false,
    fixedOrder: false,
    variants: 1,
    words,
  };
}

/** Whether the table's reply in `packet` is whole and for the name `id`. */
export function isWhole(id: number, packet: Uint8Array, replyOctets: number): boolean {
  if (replyOctets <= Outcome.DROP) return false;
  const body = Buffer.from(packet.buffer, packet.byteOffset, replyOctets).subarray(
    HEADER_OCTETS + checkedNameOctets(id) + 4,
  );
  return body.readUInt32BE(4) === id && body.readUInt32BE(0) === checksum(body);
}

function checkedNameOctets(id: number): number {
  return 'name'.length + String(id).length + 'checked'.length + 'example'.length + 4;
}

/** FNV-1a over all but the first four octets. */
function checksum(octets: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let i = 4; i < octets.length; i++)
    hash = Math.imul(hash ^ (octets[i] as number), 0x01000193);
  return hash >>> 0;
}
