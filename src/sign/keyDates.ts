/**
 * The dates of a key, as BIND's tools write them into its files: when the DNSKEY is published, when it signs, and when
 * the parent zone is told about it (`dnssec-settime`). All are seconds since 1970.
 */

/** In the order of a key's life. */
export const KEY_DATES = [
  'Created',
  'Publish',
  'Activate',
  'SyncPublish',
  'Inactive',
  'Delete',
  'SyncDelete',
] as const;

export type KeyDate = (typeof KEY_DATES)[number];

/**
 * From `Unsign` on the zone asks its parent to remove the DS (RFC 8078 §4). It has a file of its own, since BIND's tools
 * know no such date and rewrite the others.
 */
export type KeyDates = Readonly<Partial<Record<KeyDate | 'Unsign', number>>>;

/** `20261130064215` as seconds since 1970; `undefined` for any other text, and for a date that no calendar has. */
export function parseKeyDate(text: string): number | undefined {
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(text) ?? [];
  if (second === undefined) return undefined;
  const ms = Date.UTC(
    Number(year),
    Number(month) - 1,
    Number(day),
    Number(hour),
    Number(minute),
    Number(second),
  );
  return printKeyDate(ms / 1000) === text ? ms / 1000 : undefined;
}

/** The UTC date in the form of key files. */
export function printKeyDate(unixSeconds: number): string {
  const iso = new Date(unixSeconds * 1000).toISOString();
  return iso.slice(0, 19).replace(/[-T:]/g, '');
}

/** Whether the date has come; a date that is not set never comes. */
export function hasCome(date: number | undefined, nowSeconds: number): boolean {
  return date !== undefined && date <= nowSeconds;
}
