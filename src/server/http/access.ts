/**
 * Decides from a request's headers and client whether to serve it, and whether it may write.
 *
 * Against DNS rebinding the Host header must be one that a page of another site cannot make a browser send. No page of
 * another site may write.
 *
 * A client may write with the token, and so may a process of root or of the server's own user on this host, as the
 * kernel reports it. The configuration in the store decides where queries are forwarded, so writing it always needs the
 * token. A refusal states what to do.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import type { PeerOwner } from '../listening/peerOwner.ts';
import type { ConnectedClient } from './exchange/client.ts';

/**
 * The host of a Host header in lower case, without port, brackets and a trailing dot; undefined if the header is
 * malformed.
 */
export function hostOf(header: string): string | undefined {
  const bracketed = /^\[([0-9a-f:.%]+)\](?::\d{1,5})?$/i.exec(header);
  if (bracketed?.[1] !== undefined) return bracketed[1].toLowerCase();
  const plain = /^([^:/@[\]\s]+)(?::\d{1,5})?$/.exec(header);
  return plain?.[1] === undefined ? undefined : plainName(plain[1]);
}

/**
 * Whether to serve a request with this Host header. A request without the header is served: browsers always send it,
 * and only HTTP/1.0 clients may omit it.
 */
export function isAllowedHost(header: string | undefined, names: readonly string[]): boolean {
  if (header === undefined) return true;
  const host = hostOf(header);
  if (host === undefined) return false;
  if (isIP(host) !== 0 || host === 'localhost') return true;
  return names.some((name) => plainName(name) === host);
}

function plainName(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}

/** Whether the browser's headers show that a page of another site made this request. */
export function isForeignOrigin({ origin, host }: IncomingHttpHeaders): boolean {
  if (origin === undefined) return false;
  return host === undefined || (origin !== `http://${host}` && origin !== `https://${host}`);
}

/** Whether the Authorization header has the token, as Bearer or as the password of Basic under any user name. */
export function hasToken(authorization: string | undefined, token: string): boolean {
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

/** Takes the same time for every wrong token, so the time does not reveal how much of it is right. */
function equalInConstantTime(a: string, b: string): boolean {
  return timingSafeEqual(sha256(a), sha256(b));
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

export interface WriterRules {
  readonly token: string | undefined;
  /** Where this host's users find a token that the server created; undefined if the operator chose the token. */
  readonly tokenLocation: string | undefined;
  /** Users whose local processes may write without the token. */
  readonly trusted: ReadonlySet<number>;
}

export type WritePermission =
  | { readonly kind: 'token' }
  /** A process of a trusted user. */
  | { readonly kind: 'localUser' }
  | { readonly kind: 'refused'; readonly cause: string };

export async function checkWriter(
  rules: WriterRules,
  { authorization }: IncomingHttpHeaders,
  client: ConnectedClient,
): Promise<WritePermission> {
  const { token, trusted } = rules;
  if (token !== undefined && authorization !== undefined) {
    if (hasToken(authorization, token)) return { kind: 'token' };
    // The server created the token, so a client may not know it and may send credentials that are for other servers.
    const isChosen = rules.tokenLocation === undefined;
    if (isChosen) return { kind: 'refused', cause: "the token is not this server's" };
  }
  const owner = trusted.size === 0 ? 'unknown' : await client.owner();
  if (typeof owner === 'number' && trusted.has(owner)) return { kind: 'localUser' };
  return { kind: 'refused', cause: `${problemOf(rules, owner)}: ${tokenHint(rules)}` };
}

/** Why writing the configuration was refused, and what to do. */
export function configCause(rules: WriterRules): string {
  return `writing the configuration always needs the token: ${tokenHint(rules)}`;
}

function problemOf({ trusted }: WriterRules, owner: PeerOwner): string {
  if (trusted.size === 0) return 'writing needs the token';
  if (owner === 'elsewhere') return 'writing from another host needs the token';
  if (owner === 'unknown')
    return "the kernel does not show the client's user, so writing needs the token";
  const users = [...trusted].map((uid) => (uid === 0 ? 'root' : `uid ${uid}`)).join(' or ');
  return `a process of uid ${owner} may not write: run it as ${users}, or use the token`;
}

function tokenHint({ token, tokenLocation }: WriterRules): string {
  if (token === undefined) return 'this server has none yet, start it with --http-token-file FILE';
  const hint = tokenLocation === undefined ? '' : `, which is in ${tokenLocation}`;
  return `send "Authorization: Bearer TOKEN"${hint}`;
}
