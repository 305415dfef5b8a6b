/** Waits for the virtual address of a name. */
import { dig } from './dig.ts';
import type { Host } from './host.ts';
import { until } from './until.ts';

/** Waits until the host answers with a virtual address; returns it. */
export async function virtualAddress(host: Host, name: string): Promise<string> {
  let answer = '';
  const isVirtual = async (): Promise<boolean> => {
    ({ text: answer } = await dig(host.dns, name, 'A', '+short'));
    return /^198\.18\.[0-9.]+$/.test(answer.trim());
  };
  await until(`${host.name} answers with a virtual address`, isVirtual, 20_000).catch((error) => {
    throw new Error(`${error}\n${answer}`);
  });
  return answer.trim();
}
