/** The DNS server that a command is to ask, from its text. */
import { Failure } from '../app/process/failure.ts';
import { DNS_PORT, parseSocketAddress, type SocketAddress } from '../dns/address.ts';

/** An address from `IP`, `IP:PORT`, `[IPv6]:PORT`, `IP#PORT` or a host name with or without `:PORT`. */
export async function serverAddress(text: string): Promise<SocketAddress> {
  const colons = text.replace(/^([^[]*:[^[]*)#/, '[$1]:').replace('#', ':');
  const socketAddress = parseSocketAddress(colons, DNS_PORT);
  if (socketAddress !== undefined) return socketAddress;
  const [, host = '', port = DNS_PORT] =
    /^([A-Za-z0-9._-]+)(?:[:#]([0-9]{1,5}))?$/.exec(text) ?? [];
  if (host === '' || Number(port) > 65535) {
    throw new Failure('usage', `@${text}: is not a server`, 'for example @127.0.0.1:5300');
  }
  const { lookup } = await import('node:dns/promises');
  const { address } = await lookup(host);
  return { address, port: Number(port) };
}
