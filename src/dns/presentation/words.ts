/**
 * The words of rdata in text (RFC 1035 §5.1): separated by blanks, quoted or not, with escapes. Parentheses let the
 * rdata go over several lines, and a word that begins with a semicolon begins a comment. A semicolon within a word is
 * refused: a zone file would take the rest of the line for a comment, and `TXT v=DKIM1; k=rsa` lose its end.
 */
import { type Name, parseName, readEscape, utf8Octets } from '../name.ts';

interface Word {
  /** Without its quotes, with its escapes. */
  readonly text: string;
  readonly isQuoted: boolean;
  /** No blank stands before it. */
  readonly isAdjacent: boolean;
}

/**
 * Takes the words of a text one after the other. Failure is sticky, as in `Cursor`: after a mistake `failure` has the
 * reason, and every word is empty. So a parser reads straight through and checks once.
 */
export class Words {
  failure: string | undefined;
  readonly #words: readonly Word[];
  #at = 0;

  constructor(text: string) {
    const words = splitWords(text);
    this.#words = typeof words === 'string' ? [] : words;
    if (typeof words === 'string') this.failure = words;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#words.length;
  }

  fail(reason: string): void {
    this.failure ??= reason;
    this.#at = this.#words.length;
  }

  /** The next word with its escapes; `undefined` at the end. */
  peek(): string | undefined {
    return this.#words[this.#at]?.text;
  }

  /** The next word with its escapes. */
  word(what: string): string {
    const word = this.#words[this.#at];
    if (word === undefined) this.fail(`${what} is missing`);
    this.#at++;
    return word?.text ?? '';
  }

  /**
   * A key, and its value behind an equals sign, which may be quoted (RFC 9460 §2.1): `alpn="h2,h3"`. Both are as they
   * are written; the value is `undefined` without an equals sign.
   */
  pair(what: string): readonly [string, string | undefined] {
    const word = this.word(what);
    const equals = word.indexOf('=');
    if (equals < 0) return [word, undefined];
    const next = this.#words[this.#at];
    const isQuoted = word.endsWith('=') && next?.isQuoted === true && next.isAdjacent;
    const value = word.slice(equals + 1);
    return [word.slice(0, equals), isQuoted ? value + this.word(what) : value];
  }

  /** The remaining words. */
  rest(): string[] {
    const words = this.#words.slice(this.#at).map(({ text }) => text);
    this.#at = this.#words.length;
    return words;
  }

  /** The octets of the next word, its escapes resolved. */
  octets(what: string): string {
    return this.unescaped(this.word(what), what);
  }

  /** The octets of a text with escapes. */
  unescaped(text: string, what: string): string {
    const octets = unescapeOctets(utf8Octets(text));
    if (octets === undefined) this.fail(`${what} has a wrong escape`);
    return octets ?? '';
  }

  /** A whole number in decimal digits. */
  integer(what: string, min: number, max: number): number {
    const text = this.word(what);
    const value = Number(text);
    if (/^[0-9]{1,10}$/.test(text) && value >= min && value <= max) return value;
    this.fail(`${what} is not ${min} to ${max}`);
    return 0;
  }

  /** A domain name. Without a dot at its end it is absolute, too. */
  name(what: string): Name {
    const isQuoted = this.#words[this.#at]?.isQuoted;
    const text = this.word(what);
    const name = isQuoted || text === '@' || text === '' ? undefined : parseName(text);
    if (name === undefined) this.fail(`${what} is not a domain name`);
    return name ?? [];
  }
}

/** The octets that a text with escapes stands for; `undefined` if an escape is wrong. */
function unescapeOctets(text: string): string | undefined {
  if (!text.includes('\\')) return text;
  let octets = '';
  for (let i = 0; i < text.length; i++) {
    const char = text[i] as string;
    if (char !== '\\') {
      octets += char;
      continue;
    }
    const escaped = readEscape(text, i + 1);
    if (escaped === undefined) return undefined;
    octets += escaped.octet;
    i += escaped.length;
  }
  return octets;
}

/** The octets as a quoted text, safe for terminals and logs: those outside printable ASCII are `\DDD`. */
export function quote(octets: string): string {
  const escaped = octets.replace(/[^ -~]|["\\]/g, (char) => {
    if (char === '"' || char === '\\') return `\\${char}`;
    return `\\${String(char.charCodeAt(0)).padStart(3, '0')}`;
  });
  return `"${escaped}"`;
}

/** Blanks, a comment, a parenthesis, a quoted text, or a word. */
const PART =
  /([ \t\r\n]+)|;[^\n]*|([()])|"((?:[^"\\]|\\[\s\S])*)"|((?:[^ \t\r\n"();\\]|\\[\s\S])+)/y;

/** The words of a text, or the reason why it has none. */
function splitWords(text: string): Word[] | string {
  const words: Word[] = [];
  let depth = 0;
  let isAdjacent = false;
  PART.lastIndex = 0;
  while (PART.lastIndex < text.length) {
    const at = PART.lastIndex;
    const part = PART.exec(text);
    if (part === null) return reasonAt(text[at]);
    const [all, blanks, parenthesis, quoted, plain] = part;
    if (isAdjacent && all.startsWith(';')) return 'a semicolon needs quotes around its text';
    depth += parenthesis === '(' ? 1 : parenthesis === ')' ? -1 : 0;
    if (depth < 0) return 'a parenthesis is closed that was not opened';
    if (quoted !== undefined) words.push({ text: quoted, isQuoted: true, isAdjacent });
    if (plain !== undefined) words.push({ text: plain, isQuoted: false, isAdjacent });
    isAdjacent = blanks === undefined && (quoted ?? plain) !== undefined;
  }
  return depth === 0 ? words : 'a parenthesis is not closed';
}

function reasonAt(char: string | undefined): string {
  return char === '\\' ? 'a backslash stands at the end' : 'a quote is not closed';
}
