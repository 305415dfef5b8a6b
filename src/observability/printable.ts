/**
 * Text from outside (keys, values, labels, error messages) made fit for a terminal and a log: L1. JSON leaves DEL, the
 * C1 octets (0x9b begins a terminal sequence) and the line separators as they are, and a reader of JSON unescapes the
 * rest, so none of them may get that far.
 */

/** C0, DEL, C1, soft hyphen, zero-width and bidirectional controls, line separators, BOM, lone surrogates. */
const UNPRINTABLE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  /[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\p{Cs}]/gu;

/** The text with each unprintable character as the `\DDD` of its UTF-8 octets, in one line. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, escapeOctets);
}

/** The text, or its beginning with an ellipsis: what others wrote must not fill a log by itself. */
export function excerpt(text: string, maxCharacters: number): string {
  return text.length <= maxCharacters ? text : `${text.slice(0, maxCharacters - 1)}…`;
}

function escapeOctets(char: string): string {
  let escaped = '';
  for (const octet of Buffer.from(char, 'utf8')) escaped += `\\${String(octet).padStart(3, '0')}`;
  return escaped;
}
