/**
 * The part `dnssec`: what signed answers cost beside plain ones and beside Knot's, which signs its zone when it loads it;
 * what the first signed answer costs; and how a flood of names that each need a signature slows other answers.
 */
import { targetTable } from './dataplane/compare.ts';
import { Lab, type LabOptions } from './dataplane/lab.ts';
import { measureFirstAnswers } from './dnssec/firstAnswers.ts';
import { measureSignedMemory } from './dnssec/memory.ts';
import { measureRandomNames } from './dnssec/randomNames.ts';
import { makeKey } from './dnssec/servers.ts';
import { measureSigned } from './dnssec/signed.ts';

/** Returns markdown. */
export async function benchDnssec(options: LabOptions): Promise<string> {
  const lab = new Lab(options);
  try {
    const keys = makeKey(lab);
    const signed = await measureSigned(lab, keys);
    const first = await measureFirstAnswers(lab, keys);
    const random = await measureRandomNames(lab, keys);
    const memory = await measureSignedMemory(lab, keys);
    const all = [signed, first, random, memory];
    const targets = targetTable(all.flatMap(({ findings }) => findings));
    return [
      `### Signed answers\n\n${signed.text}`,
      `### First signed answers\n\n${first.text}`,
      `### Random names with DO\n\n${random.text}`,
      `### Memory of signed answers\n\n${memory.text}`,
      `### Targets\n\n${targets}`,
    ].join('\n\n');
  } finally {
    await lab.close();
  }
}
