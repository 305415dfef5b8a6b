/** Fetches a page of JSON from a running server, for commands that print it. */

export type FetchedPage =
  /** Undefined if the answer is not JSON. Nothing else about it was checked. */
  | { readonly kind: 'page'; readonly value: unknown }
  /** `problem` has no full stop. */
  | { readonly kind: 'none'; readonly problem: string };

const TIMEOUT_MS = 10_000;

/** `option`: what a server needs to have the page, as in `--register`. Never rejects. */
export async function fetchPage(url: string, path: string, option: string): Promise<FetchedPage> {
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const response = await fetch(new URL(path, url), { signal, redirect: 'error' });
    if (response.status === 404) return { kind: 'none', problem: `a server without ${option}` };
    if (!response.ok) return { kind: 'none', problem: `HTTP ${response.status}` };
    return { kind: 'page', value: await response.json() };
  } catch (error) {
    if (error instanceof SyntaxError) return { kind: 'page', value: undefined };
    return { kind: 'none', problem: problemOf(error as Error) };
  }
}

function problemOf({ name, message, cause }: Error): string {
  if (name === 'TimeoutError') return `no answer within ${TIMEOUT_MS / 1_000} s`;
  return (cause as { code?: string } | undefined)?.code ?? message;
}
