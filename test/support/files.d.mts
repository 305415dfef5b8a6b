export function testFiles(
  paths: readonly string[],
  options?: { readonly onlyRuntime?: boolean },
): string[];
