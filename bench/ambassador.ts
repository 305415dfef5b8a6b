/**
 * The part `ambassador`: what carrying connections costs, against the targets, beside other programs that do it. It runs
 * in a process of its own, because that process enters a network namespace.
 */
import type { AmbassadorAnswer, AmbassadorRequest } from './ambassador/main.ts';
import { startLineChild } from './lineChild.ts';

export async function benchAmbassador(request: AmbassadorRequest): Promise<string> {
  const child = startLineChild<AmbassadorRequest, AmbassadorAnswer>(
    'ambassador/main.ts',
    undefined,
  );
  try {
    const { text, isComplete } = await child.request(request);
    if (!isComplete) process.exitCode = 1;
    return text;
  } finally {
    await child.close();
  }
}
