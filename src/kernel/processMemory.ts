/**
 * Gives memory of this process back to the system. These functions save memory only, so they do nothing where they
 * cannot: outside Linux, without koffi, with musl, and in a program that has not loaded libc, since koffi would cost more.
 */
import { readFileSync } from 'node:fs';
import { hasLibc, loadKoffi } from './libc.ts';

interface MemoryCalls {
  readonly malloc_trim: ((keptOctets: number) => number) | undefined;
  readonly madvise: ((address: number, octets: number, advice: number) => number) | undefined;
}

let calls: MemoryCalls | undefined;

/** Gives back the free memory of the C library's heaps, which it would keep for its next allocations. */
export function trimAllocator(): void {
  memoryCalls()?.malloc_trim?.(0);
}

const MADV_DONTNEED = 4;

/**
 * Takes a file's pages out of this process. The kernel still caches them as pages of a file, and maps one again at the
 * next access, so no content changes. The file must be mapped as shared, and not be written through the mapping.
 */
export function dropFilePages(path: string): void {
  const madvise = memoryCalls()?.madvise;
  if (madvise === undefined) return;
  for (const { address, octets } of sharedMappings(path)) madvise(address, octets, MADV_DONTNEED);
}

interface Mapping {
  readonly address: number;
  readonly octets: number;
}

/** proc_pid_maps(5): `7f01-7f02 r--s 00000000 fe:01 42   /path`. */
function sharedMappings(path: string): readonly Mapping[] {
  return readFileSync('/proc/self/maps', 'latin1')
    .split('\n')
    .filter((line) => line.endsWith(` ${Buffer.from(path).toString('latin1')}`))
    .flatMap((line) => {
      const [, from = '', to = ''] = /^([0-9a-f]+)-([0-9a-f]+) r--s /.exec(line) ?? [];
      const address = Number.parseInt(from, 16);
      return from === '' ? [] : [{ address, octets: Number.parseInt(to, 16) - address }];
    });
}

function memoryCalls(): MemoryCalls | undefined {
  if (calls !== undefined || !hasLibc()) return calls;
  const found = loadKoffi();
  if (found.kind === 'missing') return undefined;
  const symbols = found.koffi.load(null);
  const optional = (name: string, parameters: readonly string[]) => {
    try {
      return symbols.func(name, 'int', [...parameters]) as (...args: readonly number[]) => number;
    } catch {
      return undefined; // musl has no malloc_trim
    }
  };
  calls = {
    malloc_trim: optional('malloc_trim', ['size_t']),
    madvise: optional('madvise', ['uint64', 'size_t', 'int']),
  };
  return calls;
}
