/** UDP packets with a source that is not their sender's, which takes a raw socket: root's, through python3. */
import { spawnSync } from 'node:child_process';
import type { SocketAddress } from '../../src/dns/address.ts';

const SCRIPT = `
import socket, struct, sys
source, to, text = sys.argv[1], sys.argv[3], sys.argv[5].encode()
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
udp = struct.pack("!HHHH", int(sys.argv[2]), int(sys.argv[4]), 8 + len(text), 0) + text
ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0)
s.sendto(ip + socket.inet_aton(source) + socket.inet_aton(to) + udp, (to, 0))`;

/** Why no packet can be forged here; false where it can. */
export function cannotForge(): string | false {
  if (process.getuid?.() !== 0) return 'optional: needs root';
  return python('import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 255)') === ''
    ? false
    : 'optional: needs python3 and raw sockets';
}

/** IPv4 only. */
export function forgePacket(source: SocketAddress, to: SocketAddress, text: string): void {
  const args = [source.address, String(source.port), to.address, String(to.port), text];
  const trouble = python(SCRIPT, ...args);
  if (trouble !== '') throw new Error(trouble);
}

function python(script: string, ...args: readonly string[]): string {
  const ran = spawnSync('python3', ['-c', script, ...args], { encoding: 'utf8' });
  return ran.status === 0 ? '' : (ran.error?.message ?? ran.stderr.trim());
}
