/**
 * Whose process is at the other end of a TCP connection on this host: the kernel's table of sockets names the user who
 * made each one.
 *
 * A table row alone proves little. A client may close its socket, or reset the connection, between its request and our
 * look, and a process of another user may then connect from the same port. Rows of sockets that no process has open name
 * root, so they do not count. A second reading must show our own socket, known by its inode, still connected: as long as
 * it is, the kernel gives the same pair of addresses to no other socket, so the row of the first reading was its peer's.
 */
import { fstatSync, readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { clientAddress, type SocketAddress } from '../dns/address.ts';
import { isLoopback } from '../forward/addresses.ts';
import { columnsOf, readTable, type TableName } from './socketTable.ts';

/** A connection that this process has accepted. */
export interface AcceptedConnection {
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  /** Of our end. */
  readonly inode: number;
}

/** The user at the other end; `elsewhere`: not a process of this host, `unknown`: the kernel did not tell. */
export type PeerOwner = number | 'elsewhere' | 'unknown';

/** proc(5), /proc/net/tcp: ESTABLISHED, and the states after one side has said that it sends no more. */
const CONNECTED = ['01', '04', '05', '08'];
const LISTENING = '0A';
/** Linux may leave out a row when the table changes while it is read. */
const ATTEMPTS = 3;

export async function peerOwner(connection: AcceptedConnection): Promise<PeerOwner> {
  const { local, remote, inode } = connection;
  if (!isOfThisHost(remote.address, local.address)) return 'elsewhere';
  const uid = await rowOwner(remote, local);
  if (uid === undefined) return 'unknown';
  const ours = (await freshTable(tableOf(local))).find(local, remote);
  return ours?.inode === inode ? uid : 'unknown';
}

async function rowOwner(from: SocketAddress, to: SocketAddress): Promise<number | undefined> {
  // The client of an IPv4-mapped address has an IPv4 socket as a rule, and an IPv6 one if it asked for that.
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

/** Whether the kernel tells whose sockets are on this host: a socket that is made to find out must show as our own. */
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
    return row?.state === LISTENING && isOurs;
  } catch {
    return false;
  } finally {
    server.close();
  }
}

/** Of the socket of a connection or of a server. Node has no public name for the descriptor. */
export function inodeOf(holder: object): number | undefined {
  const { _handle: handle } = holder as { _handle?: { fd?: number } | null };
  if (handle?.fd === undefined || handle.fd < 0) return undefined;
  try {
    return fstatSync(handle.fd).ino;
  } catch {
    return undefined;
  }
}

/** The users whose processes may do what this server may: root, and the server's own. */
export function trustedUsers(): ReadonlySet<number> {
  const own = process.geteuid?.();
  return new Set(own === undefined || standsForOthers(own) ? [0] : [0, own]);
}

/** A user namespace shows all users that it does not know as one, mostly `nobody`. */
function standsForOthers(uid: number): boolean {
  const isComplete = /^\s*0\s+0\s+4294967295\s*$/.test(read('/proc/self/uid_map'));
  return !isComplete && uid === Number(read('/proc/sys/kernel/overflowuid') || 65534);
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

function isOfThisHost(address: string, ours: string): boolean {
  const plain = clientAddress(address);
  if (isLoopback(plain) || plain === clientAddress(ours)) return true;
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .some((own) => own.address === plain);
}

interface SocketRow {
  readonly state: string;
  readonly uid: number;
  readonly inode: number;
}

/** For more looks than these it pays to go through all rows once. */
const FEW_LOOKS = 4;

/** One reading of a table. */
class TableReading {
  readonly #text: string;
  #looks = 0;
  #rows: ReadonlyMap<string, string> | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  /** The row of a socket that some process has open. */
  find(from: SocketAddress, to: SocketAddress): SocketRow | undefined {
    const tos = columnsOf(to);
    for (const [form, column] of columnsOf(from).entries()) {
      const columns = `${column} ${tos[form]} `;
      const rest = this.#restOf(columns);
      if (rest === undefined) continue;
      const [state = '', , , , uid, , inode] = rest.trim().split(/\s+/);
      return { state, uid: Number(uid), inode: Number(inode) };
    }
    return undefined;
  }

  /** What follows the addresses; of several rows, as of a connection that is over and the one after it, the open one. */
  #restOf(columns: string): string | undefined {
    if (++this.#looks > FEW_LOOKS) {
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

/** Rows of sockets that nobody has open, or that are on their way to a connection or from it, do not count. */
function isOpenRow(rest: string): boolean {
  const [state = '', , , , , , inode = '0'] = rest.trim().split(/\s+/);
  return inode !== '0' && (CONNECTED.includes(state) || state === LISTENING);
}

interface Readings {
  running: Promise<TableReading>;
  next: Promise<TableReading> | undefined;
}

const readings = new Map<TableName, Readings>();

/** The table as a reading shows it that begins after this call. One reading of it runs at a time, whoever asks. */
function freshTable(name: TableName): Promise<TableReading> {
  const known = readings.get(name);
  const state = known ?? { running: Promise.resolve(new TableReading('')), next: undefined };
  if (known === undefined) readings.set(name, state);
  state.next ??= state.running.then(() => {
    state.next = undefined;
    state.running = readTable(name).then((text) => new TableReading(text));
    return state.running;
  });
  return state.next;
}
