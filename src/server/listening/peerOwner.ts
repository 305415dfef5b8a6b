/**
 * Finds the user whose process is the peer of a TCP connection on this host, in the kernel's table of sockets.
 *
 * One row of the table does not prove the peer's user. A client may close its socket or reset the connection after its
 * request, and another user's process may connect from the same port before the table is read. Therefore a second
 * reading must show that our own socket, identified by its inode, is still connected. While it is connected, the kernel
 * gives its pair of addresses to no other socket, so the row of the first reading was the peer's. A socket that no
 * process has open has a row that names root; such rows do not count.
 */
import { fstatSync, readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { clientAddress, type SocketAddress } from '../../dns/address.ts';
import { isLoopback } from '../../forward/addresses.ts';
import { interfaceAddresses } from '../../kernel/interfaces.ts';
import { columnsOf, readTable, type TableName, TCP_LISTEN } from './socketTable.ts';

/** A connection that this process has accepted. */
export interface AcceptedConnection {
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  /** The inode of our socket. */
  readonly inode: number;
}

/** The peer's user id; `elsewhere`: the peer is not on this host, `unknown`: the kernel does not show its user. */
export type PeerOwner = number | 'elsewhere' | 'unknown';

/** proc(5), /proc/net/tcp: ESTABLISHED, FIN_WAIT1, FIN_WAIT2 and CLOSE_WAIT. */
const CONNECTED = ['01', '04', '05', '08'];
/** Linux may omit a row when the table changes during the reading. */
const ATTEMPTS = 3;

export async function peerOwner(connection: AcceptedConnection): Promise<PeerOwner> {
  const { local, remote, inode } = connection;
  const peer = clientAddress(remote.address);
  if (peer !== clientAddress(local.address) && !isHostAddress(peer)) return 'elsewhere';
  const uid = await rowOwner(remote, local);
  if (uid === undefined) return 'unknown';
  const ours = (await freshTable(tableOf(local))).find(local, remote);
  return ours?.inode === inode ? uid : 'unknown';
}

async function rowOwner(from: SocketAddress, to: SocketAddress): Promise<number | undefined> {
  // The client of an IPv4-mapped address usually has an IPv4 socket, but may have an IPv6 one.
  const isIpv4 = !clientAddress(to.address).includes(':');
  const tables: readonly TableName[] = isIpv4 ? ['tcp', 'tcp6'] : ['tcp6'];
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    for (const table of tables) {
      const row = (await freshTable(table)).find(from, to);
      if (row !== undefined) return row.uid;
    }
  }
  return undefined;
}

function tableOf({ address }: SocketAddress): TableName {
  return address.includes(':') ? 'tcp6' : 'tcp';
}

/** Whether the kernel shows the users of this host's sockets. It tests this with a socket of its own. */
export async function seesOwners(): Promise<boolean> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    const { address, port } = server.address() as AddressInfo;
    const row = (await freshTable('tcp')).find({ address, port }, { address: '0.0.0.0', port: 0 });
    const isOurs = row?.inode === inodeOf(server) && row?.uid === process.geteuid?.();
    return row?.state === TCP_LISTEN && isOurs;
  } catch {
    return false;
  } finally {
    server.close();
  }
}

/** The inode of the socket of a connection or of a server. */
export function inodeOf(socket: object): number | undefined {
  const descriptor = descriptorOf(socket);
  if (descriptor === undefined) return undefined;
  try {
    return fstatSync(descriptor).ino;
  } catch {
    return undefined;
  }
}

/** The descriptor of an open `Socket` or `Server`, for which Node has no public name. */
export function descriptorOf(socket: object): number | undefined {
  const { _handle: handle } = socket as { _handle?: { readonly fd?: unknown } | null };
  return typeof handle?.fd === 'number' && handle.fd >= 0 ? handle.fd : undefined;
}

/** Root and the server's own user: their processes can already do everything that this server can. */
export function trustedUsers(): ReadonlySet<number> {
  const own = process.geteuid?.();
  return new Set(own === undefined || isOverflowUser(own) ? [0] : [0, own]);
}

/**
 * Whether the user is the overflow user, usually `nobody`: a user namespace shows all its unmapped users as this one.
 */
function isOverflowUser(uid: number): boolean {
  const isComplete = /^\s*0\s+0\s+4294967295\s*$/.test(readText('/proc/self/uid_map'));
  return !isComplete && uid === Number(readText('/proc/sys/kernel/overflowuid') || 65534);
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

/** Whether an address without zone index belongs to this host. */
export function isHostAddress(address: string): boolean {
  if (isLoopback(address)) return true;
  return interfaceAddresses().some((own) => own.address === address);
}

interface SocketRow {
  readonly state: string;
  readonly uid: number;
  readonly inode: number;
}

/** For more searches than this, it is faster to index all rows once. */
const MAX_SCANS = 4;

/** The text of a table at one time. */
class TableSnapshot {
  readonly #text: string;
  #searches = 0;
  #rows: ReadonlyMap<string, string> | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  /** The row of the socket between the two addresses. Sockets that no process has open do not count. */
  find(from: SocketAddress, to: SocketAddress): SocketRow | undefined {
    const toColumns = columnsOf(to);
    for (const [form, column] of columnsOf(from).entries()) {
      const columns = `${column} ${toColumns[form]} `;
      const rest = this.#restOf(columns);
      if (rest === undefined) continue;
      const [state = '', , , , uid, , inode] = rest.trim().split(/\s+/);
      return { state, uid: Number(uid), inode: Number(inode) };
    }
    return undefined;
  }

  /**
   * The columns after the addresses. A closed connection and its successor may both have a row; this is the open one's.
   */
  #restOf(columns: string): string | undefined {
    if (++this.#searches > MAX_SCANS) {
      this.#rows ??= new Map(openRows(this.#text));
      return this.#rows.get(columns);
    }
    const text = this.#text;
    for (let at = text.indexOf(` ${columns}`); at >= 0; at = text.indexOf(` ${columns}`, at + 1)) {
      const rest = text.slice(at + columns.length + 1, text.indexOf('\n', at));
      if (isOpenRow(rest)) return rest;
    }
    return undefined;
  }
}

function* openRows(text: string): Generator<[columns: string, rest: string]> {
  for (const line of text.split('\n')) {
    const [, columns, rest] = /^ *\d+: (\S+ \S+ )(.*)$/.exec(line) ?? [];
    if (columns !== undefined && rest !== undefined && isOpenRow(rest)) yield [columns, rest];
  }
}

/** False for sockets that no process has open, and for connections that are being made or have ended. */
function isOpenRow(rest: string): boolean {
  const [state = '', , , , , , inode = '0'] = rest.trim().split(/\s+/);
  return inode !== '0' && (CONNECTED.includes(state) || state === TCP_LISTEN);
}

interface SharedSnapshots {
  running: Promise<TableSnapshot>;
  /** Begins when `running` has ended. */
  next: Promise<TableSnapshot> | undefined;
}

const readings = new Map<TableName, SharedSnapshots>();

/** The table, read after this call. Callers share readings; one reading of a table runs at a time. */
function freshTable(name: TableName): Promise<TableSnapshot> {
  const known = readings.get(name);
  const state = known ?? { running: Promise.resolve(new TableSnapshot('')), next: undefined };
  if (known === undefined) readings.set(name, state);
  state.next ??= state.running.then(() => {
    state.next = undefined;
    state.running = readTable(name).then((text) => new TableSnapshot(text));
    return state.running;
  });
  return state.next;
}
