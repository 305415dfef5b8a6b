/** Random mutations of packets; the same seed gives the same mutations. */

/** Draws a number from 0 to `below` - 1 (xorshift32). */
export type Draw = (below: number) => number;

export function drawFrom(seed: number): Draw {
  let state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** Octets at which parsers branch: bounds of labels, label types, pointers, lengths. */
const BOUNDARY_OCTETS = [0x00, 0x01, 0x0c, 0x29, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xc1, 0xfe, 0xff];

type Mutation = (packet: Buffer, draw: Draw, other: Buffer) => Buffer;

const flipBit: Mutation = (packet, draw) => {
  const at = draw(packet.length);
  packet[at] = (packet[at] as number) ^ (1 << draw(8));
  return packet;
};

const setOctet: Mutation = (packet, draw) => {
  const choice = draw(BOUNDARY_OCTETS.length + 4);
  packet[draw(packet.length)] = BOUNDARY_OCTETS[choice] ?? draw(256);
  return packet;
};

const setPointer: Mutation = (packet, draw) => {
  if (packet.length < 2) return packet;
  packet.writeUInt16BE(0xc000 | draw(Math.min(packet.length + 2, 0x4000)), draw(packet.length - 1));
  return packet;
};

const setCount: Mutation = (packet, draw) => {
  if (packet.length < 12) return packet;
  packet.writeUInt16BE(draw(4) === 0 ? draw(0x10000) : draw(4), 2 + 2 * draw(5));
  return packet;
};

const nudge: Mutation = (packet, draw) => {
  const at = draw(packet.length);
  packet[at] = (packet[at] as number) + (draw(2) === 0 ? 1 : 255);
  return packet;
};

const cut: Mutation = (packet, draw) => packet.subarray(0, draw(packet.length));

const remove: Mutation = (packet, draw) => {
  const [start, length] = [draw(packet.length), 1 + draw(8)];
  return Buffer.concat([packet.subarray(0, start), packet.subarray(start + length)]);
};

const insert: Mutation = (packet, draw) => {
  const at = draw(packet.length + 1);
  const octets = Buffer.alloc(1 + draw(16), BOUNDARY_OCTETS[draw(BOUNDARY_OCTETS.length)]);
  return Buffer.concat([packet.subarray(0, at), octets, packet.subarray(at)]);
};

const repeat: Mutation = (packet, draw) => {
  const start = draw(packet.length);
  const end = start + draw(Math.min(64, packet.length - start));
  return Buffer.concat([packet.subarray(0, end), packet.subarray(start)]);
};

const splice: Mutation = (packet, draw, other) =>
  Buffer.concat([packet.subarray(0, draw(packet.length)), other.subarray(draw(other.length))]);

const MUTATIONS: readonly Mutation[] = [
  ...[flipBit, setOctet, setOctet, setPointer, setPointer, setCount, nudge],
  ...[cut, remove, insert, repeat, splice],
];

/** Returns a packet of the corpus after one to four mutations. */
export function mutated(corpus: readonly Buffer[], draw: Draw): Buffer {
  const pick = () => corpus[draw(corpus.length)] as Buffer;
  let packet: Buffer = Buffer.from(pick());
  for (let left = 1 + draw(4); left > 0 && packet.length > 0; left--) {
    const mutation = MUTATIONS[draw(MUTATIONS.length)] as Mutation;
    packet = mutation(packet, draw, pick());
  }
  return packet.subarray(0, 65535);
}
