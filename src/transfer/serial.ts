/** Serials of zones (RFC 1982): 32 bits that begin again at 0. */

const SERIALS = 2 ** 32;
const HALF = 2 ** 31;

/** Whether serial `a` is newer than `b`; false for two that RFC 1982 §3.2 cannot order. */
export function isNewerSerial(a: number, b: number): boolean {
  const ahead = (a - b + SERIALS) % SERIALS;
  return ahead > 0 && ahead < HALF;
}

export function nextSerial(serial: number): number {
  return (serial + 1) % SERIALS;
}

/** The low 32 bits of a revision of the store. */
export function serialOfRevision(revision: number): number {
  return revision % SERIALS;
}

/** The current second or, if that is not newer than the last serial, the one after the last. */
export function nextUnixSerial(unixSeconds: number, last: number | undefined): number {
  const serial = unixSeconds % SERIALS;
  return last === undefined || isNewerSerial(serial, last) ? serial : nextSerial(last);
}
