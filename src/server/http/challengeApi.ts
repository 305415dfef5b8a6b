/**
 * TXT records of ACME's challenge DNS-01 (RFC 8555 §8.4), with the two requests of lego's provider `httpreq`:
 *
 *     POST /acme/present   {"fqdn": "_acme-challenge.web.skydns.local.", "value": DIGEST}   adds a record for an hour
 *     POST /acme/cleanup   the same                                                         removes it
 *
 * Each value has a key of its own, one label below the name, which has the records of these keys (`zone/storedRecords`).
 * So a name and its wildcard, which have their challenges at the same name, can be validated at once, and a client
 * removes only its own record. If the client never removes it, its lease does.
 */
import { createHash } from 'node:crypto';
import {
  foldName,
  isSubdomainOf,
  isValidName,
  type Name,
  parseName,
  printName,
} from '../../dns/name.ts';
import { keyOfName } from '../../service/key.ts';
import { jsonObject, parseJsonText } from '../../store/http/json.ts';
import type { Store } from '../../store/store.ts';
import { isWildcard } from '../../zone/tree/select.ts';
import { errorReply } from './api/storeStreams.ts';
import { type Exchange, type HttpReply, jsonReply, methodNotAllowed } from './exchange/exchange.ts';

/** Where challenges may be stored. */
export interface ChallengeSource {
  /** As `keyPrefix` returns it. */
  readonly prefix: string;
  domains(): readonly Name[];
}

const CHALLENGE_LABEL = '_acme-challenge';
/** Longer than any ACME server takes for the validation. */
const LEASE_SECONDS = 3600;
/** The next challenge has another value, so resolvers should forget this one soon. */
const TTL_SECONDS = 5;
const MAX_BODY_OCTETS = 4096;
/** 64 bits: no two values of a name have the same label. */
const LABEL_DIGITS = 16;

type Challenge =
  | {
      readonly kind: 'challenge';
      readonly key: string;
      readonly name: Name;
      readonly value: string;
    }
  | { readonly kind: 'refused'; readonly status: 400 | 403; readonly reason: string };

/** Answers a request below /acme. False: the path is not one of this API. The client must be a writer. */
export async function serveChallenges(
  store: Store,
  source: ChallengeSource,
  exchange: Exchange,
): Promise<boolean> {
  const { method, path } = exchange;
  if (path !== '/acme/present' && path !== '/acme/cleanup') return false;
  if (method !== 'POST') {
    exchange.send(methodNotAllowed(['POST']));
    return true;
  }
  const body = await exchange.readBody(MAX_BODY_OCTETS);
  if (body.kind === 'too large')
    exchange.send(refusal(413, `the body is larger than ${body.limitOctets} octets`));
  if (body.kind !== 'body') return true;
  try {
    const challenge = readChallenge(parseJsonText(body.octets.toString('utf8')), source);
    exchange.send(
      challenge.kind === 'refused'
        ? refusal(challenge.status, challenge.reason)
        : await apply(path, challenge, store),
    );
  } catch (error) {
    exchange.send(errorReply(error));
  }
  return true;
}

async function apply(
  path: '/acme/present' | '/acme/cleanup',
  { key, name, value }: Extract<Challenge, { kind: 'challenge' }>,
  store: Store,
): Promise<HttpReply> {
  if (path === '/acme/cleanup') {
    await store.delete(key);
  } else {
    const service = { rr: [`TXT "${value}"`], ttl: TTL_SECONDS };
    const ttlSeconds = LEASE_SECONDS;
    await store.put(key, Buffer.from(JSON.stringify(service), 'utf8'), { ttlSeconds });
  }
  return jsonReply(200, { fqdn: printName(name), key });
}

/** `json` is the body of the request. Throws `Malformed` if it is not an object. */
function readChallenge(json: unknown, { prefix, domains }: ChallengeSource): Challenge {
  const { fqdn, value } = jsonObject(json);
  if (typeof fqdn !== 'string' || typeof value !== 'string')
    return invalid('"fqdn" and "value" must be texts (lego: not with HTTPREQ_MODE=RAW)');
  if (!/^[\w-]{43}$/.test(value))
    return invalid('"value" must be a SHA-256 digest as 43 characters of base64url');
  const parsed = parseName(fqdn);
  const name = parsed && foldName(parsed);
  if (name === undefined || name.some(isWildcard))
    return invalid('"fqdn" must be a domain name without wildcards');
  if (name[0] !== CHALLENGE_LABEL)
    return forbidden(`${printName(name)} does not begin with ${CHALLENGE_LABEL}`);
  const above = name.slice(1);
  const served = domains();
  if (!served.some((domain) => isSubdomainOf(above, domain)))
    return forbidden(`${printName(name)} is in none of the served domains`);
  const reserved = served.find((domain) => isSubdomainOf(above, ['dns', ...domain]));
  if (reserved !== undefined)
    return forbidden(`dns.${printName(reserved)} and the names below it are reserved`);
  const owner = [labelFor(value), ...name];
  if (!isValidName(owner)) return invalid('"fqdn" is too long');
  const key = keyOfName(owner, prefix);
  if (key === undefined) return invalid('"fqdn" has a dot or a slash in a label');
  return { kind: 'challenge', key, name, value };
}

/** As hexadecimal digits, because labels do not differ in case. */
function labelFor(value: string): string {
  return `acme-${createHash('sha256').update(value).digest('hex').slice(0, LABEL_DIGITS)}`;
}

function invalid(reason: string): Challenge {
  return { kind: 'refused', status: 400, reason };
}

function forbidden(reason: string): Challenge {
  return { kind: 'refused', status: 403, reason };
}

function refusal(status: 400 | 403 | 413, message: string): HttpReply {
  return jsonReply(status, { error: { code: status === 403 ? 'denied' : 'invalid', message } });
}
