/** What a listener of any transport is to the code that starts the server. */
import type { SocketAddress } from '../dns/socketAddress.ts';

/** An address that is listened on, with the port that it really got. */
export interface Bound extends SocketAddress {
  close(): Promise<void>;
}

/** Rejects with the system's error (its `code` says EADDRINUSE, EACCES …). Port 0 lets the system choose. */
export type Listen = (address: string, port: number, fd?: number) => Promise<Bound>;
