/** A TCP listener with a scripted `Respond`, and clients for it; all of them end with the test. */
import type { TestContext } from 'node:test';
import type { Respond } from '../../src/dns/message.ts';
import type { TcpLimits } from '../../src/server/tcp/connectionTable.ts';
import type { StreamTable } from '../../src/server/tcp/streamTable.ts';
import { TcpListener } from '../../src/server/tcp/tcp.ts';
import type { OpenReplies } from '../../src/server/tcp/tcpConnection.ts';
import { FramedClient, type FramedClientOptions } from './framedClient.ts';

/** Listens on a free port; `errors` receives the listener's errors. */
export async function serveTcp(
  t: TestContext,
  respond: Respond,
  limits: Partial<TcpLimits> = {},
  address = '127.0.0.1',
  table?: StreamTable,
  openReplies?: OpenReplies,
) {
  const errors: Error[] = [];
  const onError = (error: Error): void => void errors.push(error);
  const listener = new TcpListener({ respond, limits, table, openReplies, onError });
  const { port } = await listener.listen(address, 0);
  t.after(() => listener.close());
  const connect = async (options?: FramedClientOptions) => {
    const client = await FramedClient.connect(port, options);
    t.after(() => client.socket.destroy());
    return client;
  };
  return { listener, port, connect, errors };
}
