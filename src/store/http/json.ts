/** Checked access to JSON that another process sent. Every function throws `Malformed` if the JSON has another form. */

/** The JSON does not have the expected form. */
export class Malformed extends Error {
  override readonly name = 'Malformed';
}

export function jsonObject(json: unknown): Readonly<Record<string, unknown>> {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new Malformed('an object was expected');
  }
  return json as Record<string, unknown>;
}

export function jsonArray(json: unknown): readonly unknown[] {
  if (!Array.isArray(json)) throw new Malformed('an array was expected');
  return json;
}

export function jsonString(json: unknown): string {
  if (typeof json !== 'string') throw new Malformed('a string was expected');
  return json;
}

export function jsonNumber(json: unknown): number {
  if (typeof json !== 'number') throw new Malformed('a number was expected');
  return json;
}

export function optionalJson<T>(json: unknown, read: (json: unknown) => T): T | undefined {
  return json === undefined || json === null ? undefined : read(json);
}

export function parseJsonText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Malformed('the text is not JSON');
  }
}
