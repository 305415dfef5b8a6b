/** Datagrams that the kernel dropped because a socket's buffer was full: the last column of /proc/net/udp. */
import { readFileSync, readlinkSync } from 'node:fs';

interface Row {
  readonly port: number;
  readonly inode: string;
  readonly drops: number;
}

function rows(): Row[] {
  return readFileSync('/proc/net/udp', 'latin1')
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line) => {
      const fields = line.trim().split(/\s+/);
      const port = Number.parseInt(fields[1]?.split(':')[1] ?? '', 16);
      return { port, inode: fields[9] ?? '', drops: Number(fields[12]) };
    });
}

/** Drops of all IPv4 sockets bound to the port. */
export function dropsOfPort(port: number): number {
  return rows().reduce((sum, row) => sum + (row.port === port ? row.drops : 0), 0);
}

/** Drops of these IPv4 sockets of this process. */
export function dropsOfSockets(fds: readonly number[]): number {
  const inodes = new Set(fds.map((fd) => /\d+/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[0]));
  return rows().reduce((sum, row) => sum + (inodes.has(row.inode) ? row.drops : 0), 0);
}

/** Counts the drops of all sockets bound to the port since the start, also of closed ones. */
export class DropWatch {
  readonly #port: number;
  readonly #most = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;

  constructor(port: number) {
    this.#port = port;
    this.#timer = setInterval(() => this.#read(), 50);
  }

  /** Stops and returns the number of drops. */
  stop(): number {
    clearInterval(this.#timer);
    this.#read();
    return [...this.#most.values()].reduce((sum, drops) => sum + drops, 0);
  }

  #read(): void {
    for (const { port, inode, drops } of rows())
      if (port === this.#port) this.#most.set(inode, drops);
  }
}
