/** Whether another process shares our addresses already: a successor that was started to take them over. */
import type { SocketAddress } from '../dns/socketAddress.ts';
import { asInTable, openSockets, readSockets } from './socketTable.ts';

/** True if each of the addresses has a socket of somebody else's beside ours, for UDP and for TCP. Only on Linux. */
export async function hasSuccessor(endpoints: readonly SocketAddress[]): Promise<boolean> {
  const own = await openSockets('self');
  if (own.size === 0 || endpoints.length === 0) return false;
  for (const transport of ['udp', 'tcp'] as const) {
    const others = (await readSockets(transport)).filter(
      ({ isListening, inode }) => isListening && !own.has(inode),
    );
    const isShared = ({ address, port }: SocketAddress): boolean =>
      others.some((other) => other.port === port && other.address === asInTable(address));
    if (!endpoints.every(isShared)) return false;
  }
  return true;
}
