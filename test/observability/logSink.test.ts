import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, it } from 'node:test';
import { openLogSink } from '../../src/observability/logSink.ts';
import { until } from '../support/until.ts';

const directory = mkdtempSync(join(tmpdir(), 'soradns-sink-'));
after(() => rmSync(directory, { recursive: true }));

/** A pipe that accepts about 64 KiB and then fails with EAGAIN, and the octets written into it. */
function openPipe(name: string) {
  const path = join(directory, name);
  execFileSync('mkfifo', [path]);
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  const buffer = Buffer.alloc(1 << 20);
  const read = (): string => {
    try {
      return buffer.toString('utf8', 0, readSync(fd, buffer));
    } catch {
      return '';
    }
  };
  return { fd, read };
}

it('The log sink keeps the lines that fit into its buffer and counts the others', async () => {
  const { fd, read } = openPipe('full');
  const sink = openLogSink(fd);
  const lines = Array.from({ length: 3_000 }, (_, n) => `${n} ${'x'.repeat(490)}\n`);
  for (const line of lines) sink.write(line);
  const dropped = sink.takeDropped();
  assert.ok(dropped > 0, 'a full pipe drops lines');
  assert.equal(sink.takeDropped(), 0);

  let text = '';
  const kept = lines.slice(0, lines.length - dropped).join('');
  await until('every kept line is read', () => {
    text += read();
    return text.length >= kept.length;
  });
  assert.equal(text, kept, 'whole lines, in order');
  closeSync(fd);
});

it('The log sink gives up after about a second on a pipe that stays full', () => {
  const { fd } = openPipe('stuck');
  const sink = openLogSink(fd);
  sink.write(`${'x'.repeat(200_000)}\n`);
  const startMs = performance.now();
  assert.equal(sink.flush(), false);
  const tookMs = performance.now() - startMs;
  assert.ok(tookMs >= 900 && tookMs < 10_000, `${tookMs} ms`);
  closeSync(fd);
});

it('The log sink drops and counts lines when the descriptor fails', () => {
  const fd = openSync(join(directory, 'read-only'), 'a+');
  closeSync(fd);
  const sink = openLogSink(fd);
  sink.write('x\n');
  assert.equal(sink.flush(), true);
  assert.equal(sink.takeDropped(), 1);
});
