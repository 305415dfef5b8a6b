/** `npm run fuzz -- [--count N] [--seed N]`: one million packets by default. */
import { randomInt } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { CORPUS_FOLDER } from './corpus.ts';
import { FuzzFailure, fuzz } from './fuzzer.ts';

const { values } = parseArgs({ options: { count: { type: 'string' }, seed: { type: 'string' } } });
const count = Number(values.count ?? 1_000_000);
const seed = Number(values.seed ?? randomInt(2 ** 31));
if (!Number.isSafeInteger(count) || !Number.isSafeInteger(seed)) {
  console.error('fuzz: --count and --seed must be whole numbers');
  process.exit(2);
}

console.log(`fuzz: ${count} packets, seed ${seed}`);
const start = performance.now();
try {
  const { outcomes, slowestMs, heapGrowthOctets } = fuzz(count, seed);
  const seconds = (performance.now() - start) / 1000;
  for (const [outcome, times] of outcomes) console.log(`  ${outcome}: ${times}`);
  console.log(
    `  no failure; slowest ${slowestMs.toFixed(2)} ms, heap grew by ${(heapGrowthOctets / 2 ** 20).toFixed(1)} MiB, ${seconds.toFixed(1)} s`,
  );
} catch (error) {
  if (!(error instanceof FuzzFailure)) throw error;
  const file = new URL(`crash-${seed}.hex`, CORPUS_FOLDER);
  writeFileSync(file, `; ${error.message.split('\n')[0]}\n${error.packet.toString('hex')}\n`);
  console.error(error.cause);
  console.error(`fuzz: seed ${seed} failed; its packet is saved in ${file.pathname}`);
  process.exitCode = 1;
}
