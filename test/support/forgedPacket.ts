/** UDP packets with a forged source address, sent through a raw socket by python3. Needs root. */
import { spawnSync } from 'node:child_process';
import type { SocketAddress } from '../../src/dns/address.ts';

const SCRIPT = `
import socket, struct, sys
source, to, text = sys.argv[1], sys.argv[3], sys.argv[5].encode()
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
udp = struct.pack("!HHHH", int(sys.argv[2]), int(sys.argv[4]), 8 + len(text), 0) + text
ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0)
s.sendto(ip + socket.inet_aton(source) + socket.inet_aton(to) + udp, (to, 0))`;

/** The reason why packets cannot be forged here; false where they can. */
export function cannotForge(): string | false {
  if (process.getuid?.() !== 0) return 'optional: needs root';
  return python('import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 255)') === ''
    ? false
    : 'optional: needs python3 and raw sockets';
}

/** Sends an IPv4 packet. */
export function forgePacket(source: SocketAddress, to: SocketAddress, text: string): void {
  const args = [source.address, String(source.port), to.address, String(to.port), text];
  const problem = python(SCRIPT, ...args);
  if (problem !== '') throw new Error(problem);
}

function python(script: string, ...args: readonly string[]): string {
  const ran = spawnSync('python3', ['-c', script, ...args], { encoding: 'utf8' });
  return ran.status === 0 ? '' : (ran.error?.message ?? ran.stderr.trim());
}
