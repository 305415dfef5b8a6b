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

/** Whether the date has come; a date that is not set never comes. */
export function hasCome(date: number | undefined, nowSeconds: number): boolean {
  return date !== undefined && date <= nowSeconds;
}
