/** The two forms of a container's id, as types that the compiler keeps apart. */

declare const form: unique symbol;

/** All 64 digits. */
export type ContainerId = string & { readonly [form]: 'full' };

/** The first 12 digits: in owner stamps, log lines, JSON output and names. */
export type ShortId = string & { readonly [form]: 'short' };

/** Takes the id from an engine's answer or event. Does not check its length. */
export function asContainerId(fromEngine: string): ContainerId {
  return fromEngine as ContainerId;
}

const SHORT_ID_DIGITS = 12;

export function shortIdOf(id: ContainerId): ShortId {
  return id.slice(0, SHORT_ID_DIGITS) as ShortId;
}

/** Takes the id from an owner stamp. It may be any text, because another registrar may have written the stamp. */
export function asShortId(fromStamp: string): ShortId {
  return fromStamp as ShortId;
}
