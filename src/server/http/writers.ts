/**
 * Who may write: a client that shows the token, or a process of root or of the server's own user on this host, as the
 * kernel tells. What decides where all names outside are asked, the configuration in the store, always needs the token.
 * A refusal says what to do.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { PeerOwner } from '../peerOwner.ts';
import type { Client } from './client.ts';
import { carriesToken } from './guard.ts';

export interface WriterRules {
  readonly token: string | undefined;
  /** Where this host's users find the token, if the server made it; undefined where an operator chose it. */
  readonly tokenPlace: string | undefined;
  /** The users whose processes on this host may write without it. */
  readonly trusted: ReadonlySet<number>;
}

export type Verdict =
  | { readonly kind: 'token' }
  /** A process of a trusted user. */
  | { readonly kind: 'owner' }
  | { readonly kind: 'refused'; readonly cause: string };

export async function judgeWriter(
  rules: WriterRules,
  { authorization }: IncomingHttpHeaders,
  client: Client,
): Promise<Verdict> {
  const { token, trusted } = rules;
  if (token !== undefined && authorization !== undefined) {
    if (carriesToken(authorization, token)) return { kind: 'token' };
    // Who does not know that there is one may send what he sends to others.
    const isChosen = rules.tokenPlace === undefined;
    if (isChosen) return { kind: 'refused', cause: "what was sent is not this server's token" };
  }
  const owner = trusted.size === 0 ? 'unknown' : await client.owner();
  if (typeof owner === 'number' && trusted.has(owner)) return { kind: 'owner' };
  return { kind: 'refused', cause: `${problemOf(rules, owner)}: ${tokenHint(rules)}` };
}

/** Why the configuration was not written, and what to do. */
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

function tokenHint({ token, tokenPlace }: WriterRules): string {
  if (token === undefined) return 'this server has none yet, start it with --http-token-file FILE';
  const place = tokenPlace === undefined ? '' : `, which is in ${tokenPlace}`;
  return `send "Authorization: Bearer TOKEN"${place}`;
}
