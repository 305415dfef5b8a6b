const HOUR_SECONDS = 3600;

/** SkyDNS's SOA serial: the time, cut to the hour. There are no secondaries to notice. */
export function serialOf(unixSeconds: number): number {
  return Math.floor(unixSeconds / HOUR_SECONDS) * HOUR_SECONDS;
}

/** For how many seconds more the serial is the same; at least 1. */
export function serialLifeSeconds(unixSeconds: number): number {
  return HOUR_SECONDS - (unixSeconds % HOUR_SECONDS);
}
