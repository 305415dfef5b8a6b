/**
 * Removes the tables of this host's ambassador and its rules among Docker's, and finds the server that would write them
 * again: it keeps a socket that receives the changes of nf_tables.
 */
import { readFile } from 'node:fs/promises';
import { type ClearOutcome, clearKernel } from '../../ambassador/nft/clearKernel.ts';
import { findSocketHolders, type ListeningProcess } from '../../server/listening/portHolder.ts';

/** The bit of NFNLGRP_NFTABLES (7) in a mask of groups. */
const NFTABLES_BIT = 1 << 6;
/** NETLINK_NETFILTER. */
const PROTOCOL = '12';
/** Others, such as firewalls, receive the changes too. */
const OUR_PROGRAMS = ['node', 'soradns'];

/**
 * The process in this network namespace that keeps the tables; undefined if there is none, or if this process may not
 * see it.
 */
export async function findKeeper(): Promise<ListeningProcess | undefined> {
  const table = await readFile('/proc/self/net/netlink', 'latin1').catch(() => '');
  const holders = await findSocketHolders(new Set(listenersIn(table)));
  return holders.find(({ pid, command }) => pid !== process.pid && OUR_PROGRAMS.includes(command));
}

/** The inodes of the sockets. Columns: address, protocol, port, groups, 5 numbers, inode. */
function listenersIn(table: string): readonly string[] {
  return table.split('\n').flatMap((line) => {
    const [, protocol, , groups = '', , , , , , inode] = line.trim().split(/\s+/);
    const isListening = (Number.parseInt(groups, 16) & NFTABLES_BIT) !== 0;
    return protocol === PROTOCOL && isListening && inode !== undefined ? [inode] : [];
  });
}

/** A server writes missing tables again within a second. */
const WATCH_MS = 1_500;

/** Removes everything, and watches for a while whether it stays away. */
export function clearHost(): Promise<ClearOutcome> {
  return clearKernel({ watchMs: WATCH_MS });
}
