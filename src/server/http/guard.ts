/**
 * Pure decisions on headers: the Host header must be one that a page of another site cannot make a browser send (DNS
 * rebinding), no page of another site writes, and the token is compared without telling how much of it was right.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';

/** The host of a Host header without its port and brackets, in lower case; undefined when it is not one host. */
export function hostOf(header: string): string | undefined {
  const bracketed = /^\[([0-9a-f:.%]+)\](?::\d{1,5})?$/i.exec(header);
  if (bracketed?.[1] !== undefined) return bracketed[1].toLowerCase();
  const plain = /^([^:/@[\]\s]+)(?::\d{1,5})?$/.exec(header);
  return plain?.[1]?.toLowerCase();
}

/**
 * Whether a request under this Host header is served. No header at all is fine: browsers always send one, and only
 * HTTP/1.0 may go without.
 */
export function isAllowedHost(header: string | undefined, names: readonly string[]): boolean {
  if (header === undefined) return true;
  const host = hostOf(header);
  if (host === undefined) return false;
  if (isIP(host) !== 0 || host === 'localhost') return true;
  return names.some((name) => name.toLowerCase() === host.replace(/\.$/, ''));
}

/** Whether a browser says that a page of another site made this request. */
export function isForeignOrigin({ origin, host }: IncomingHttpHeaders): boolean {
  if (origin === undefined) return false;
  return host === undefined || (origin !== `http://${host}` && origin !== `https://${host}`);
}

/** Whether the Authorization header carries the token: as Bearer, or as the password of Basic, under any user name. */
export function carriesToken(authorization: string | undefined, token: string): boolean {
  const offered = authorization === undefined ? undefined : credential(authorization);
  return offered !== undefined && offered !== '' && equalInConstantTime(offered, token);
}

function credential(authorization: string): string | undefined {
  const match = /^(bearer|basic) +(\S+) *$/i.exec(authorization);
  const scheme = match?.[1]?.toLowerCase();
  const rest = match?.[2];
  if (rest === undefined || scheme === 'bearer') return rest;
  const userAndPassword = Buffer.from(rest, 'base64').toString('utf8');
  const colon = userAndPassword.indexOf(':');
  return colon < 0 ? undefined : userAndPassword.slice(colon + 1);
}

function equalInConstantTime(a: string, b: string): boolean {
  return timingSafeEqual(sha256(a), sha256(b));
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
