/** A client that takes ten seconds to read each page of a snapshot while values are overwritten. */
import { statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AttackOptions, AttackResult } from '../hostile.ts';
import { startSoradns, untilReady } from '../soradns.ts';
import { put } from './clients.ts';

const VALUES = 400;
const VALUE = 't'.repeat(40_000);
const SECONDS = 20;
const PAGE_OCTETS = 256 * 1024;
const PAGE_MS = 10_000;

export async function benchSlowReader({ folder, isQuick }: AttackOptions): Promise<AttackResult[]> {
  const seconds = isQuick ? 3 : SECONDS;
  const without = await overwrite(join(folder, 'without'), false, seconds);
  const held = await overwrite(join(folder, 'held'), true, seconds);
  return [
    {
      what: `${seconds} s of overwriting 40 kB with a reader of 10 s a page: file size, relative to a run without the reader`,
      unit: 'times',
      value: held / without,
      target: 1.25,
    },
  ];
}

/** Returns the size of the store's file afterwards, in octets. */
async function overwrite(folder: string, isRead: boolean, seconds: number): Promise<number> {
  const server = await startSoradns({ store: `file:${folder}`, cwd: '/', args: ['--no-rec'] });
  try {
    await untilReady(server);
    for (let n = 0; n < VALUES; n++) await put(server.httpPort, `text/t${n}`, textOf(n));
    const stopReading = isRead ? readSlowly(server.httpPort) : () => undefined;
    const until = performance.now() + seconds * 1_000;
    for (let n = 0; performance.now() < until; n++) {
      await put(server.httpPort, `text/t${n % VALUES}`, textOf(n));
    }
    stopReading();
    return statSync(join(folder, 'data.mdb')).size;
  } finally {
    await server.stop();
  }
}

function textOf(n: number): string {
  return JSON.stringify({ text: `${n} ${VALUE}` });
}

/** Reads snapshots as slowly as the server allows; starts a new one when the server closes the connection. */
function readSlowly(port: number): () => void {
  let isOn = true;
  const read = async (): Promise<void> => {
    while (isOn) {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.write('GET /v1/store/snapshot?prefix=/ HTTP/1.1\r\nHost: localhost\r\n\r\n');
      socket.pause();
      let isOpen = true;
      socket.once('close', () => {
        isOpen = false;
      });
      while (isOn && isOpen) {
        socket.read(PAGE_OCTETS);
        await sleep(PAGE_MS / 10);
      }
      socket.destroy();
    }
  };
  void read();
  return () => {
    isOn = false;
  };
}
