/** Reads a value from a store as a JSON object, within bounds. */

export type ParsedJson =
  | { readonly kind: 'object'; readonly json: Readonly<Record<string, unknown>> }
  | { readonly kind: 'invalid'; readonly reason: string };

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Never throws. */
export function parseJsonValue(value: Uint8Array, maxOctets: number): ParsedJson {
  if (value.length > maxOctets) return invalidJson(`value above ${maxOctets} octets`);
  let text: string;
  try {
    text = utf8.decode(value);
  } catch {
    return invalidJson('value is not UTF-8');
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return invalidJson(text.charCodeAt(0) === 0xfeff ? 'begins with a BOM' : 'not JSON');
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    return invalidJson('not a JSON object');
  }
  return { kind: 'object', json: json as Record<string, unknown> };
}

function invalidJson(reason: string): ParsedJson {
  return { kind: 'invalid', reason };
}
