/** Below the project: what `onlyRuntime` leaves out. */
export const NOT_OF_RUNTIME: readonly string[];
export function testFiles(
  paths: readonly string[],
  options?: { readonly onlyRuntime?: boolean },
): string[];
