/** A figure that a test has measured, for whoever reads its output (and for the README): `hosts: WHAT: N ms`. */
export function reportMs(what: string, ms: number): void {
  console.log(`hosts: ${what}: ${Math.round(ms)} ms`);
}
