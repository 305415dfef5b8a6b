/** Prints a measured time as `hosts: WHAT: N ms`. The reporter shows these lines; the documentation quotes them. */
export function reportMs(what: string, ms: number): void {
  console.log(`hosts: ${what}: ${Math.round(ms)} ms`);
}

/** Prints a count in the same way, as `hosts: WHAT: N`. */
export function reportCount(what: string, count: number): void {
  console.log(`hosts: ${what}: ${count}`);
}
