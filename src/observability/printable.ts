/**
 * Makes text from outside (keys, values, labels, error messages) safe for a terminal and a log. JSON's escaping is not
 * enough: JSON keeps DEL, the C1 octets (0x9b begins a terminal sequence) and the line separators, and a reader of JSON
 * unescapes the others.
 */

/** C0, DEL, C1, soft hyphen, zero-width and bidirectional controls, line separators, BOM, lone surrogates. */
const UNPRINTABLE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the expression matches control characters
  /[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\p{Cs}]/gu;

/** The text in one line, with the UTF-8 octets of each unprintable character as `\DDD`. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, escapeOctets);
}

/** The text, cut with an ellipsis: a text from outside must not fill the log. */
export function excerpt(text: string, maxCharacters: number): string {
  return text.length <= maxCharacters ? text : `${text.slice(0, maxCharacters - 1)}…`;
}

function escapeOctets(char: string): string {
  let escaped = '';
  for (const octet of Buffer.from(char, 'utf8')) escaped += `\\${String(octet).padStart(3, '0')}`;
  return escaped;
}
