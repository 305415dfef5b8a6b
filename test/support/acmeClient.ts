/** A small ACME client (RFC 8555): registers an account, orders certificates and answers challenges of DNS-01. */
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';

export interface DnsChallenge {
  /** Such as `_acme-challenge.web.example.org.`; for a wildcard the same name as without it. */
  readonly fqdn: string;
  /** What the TXT record must have (RFC 8555 §8.4). */
  readonly value: string;
  /** Has the server validate the challenge; returns the authorization's final status. */
  validate(): Promise<string>;
}

export interface AcmeClient {
  /** Orders a certificate for the names; returns the challenge of each. */
  order(names: readonly string[]): Promise<readonly DnsChallenge[]>;
}

interface Reply {
  readonly status: number;
  readonly location: string;
  readonly nonce: string;
  readonly json: Record<string, unknown>;
}

/** Registers a new account. `ca` is the PEM of the server's certificate. */
export async function createAcmeClient(directory: string, ca: Buffer): Promise<AcmeClient> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { crv, x, y } = publicKey.export({ format: 'jwk' });
  const jwk = { crv, kty: 'EC', x, y };
  // RFC 7638: the members in alphabetical order, without spaces.
  const thumbprint = createHash('sha256').update(JSON.stringify(jwk)).digest('base64url');
  const { json: urls } = await fetchJson(directory, ca, undefined);
  let nonce = (await fetchJson(String(urls.newNonce), ca, undefined)).nonce;
  let identity: object = { jwk };
  const post = async (url: string, payload: object | undefined): Promise<Reply> => {
    const protectedHeader = { alg: 'ES256', nonce, url, ...identity };
    const reply = await fetchJson(url, ca, signed(protectedHeader, payload, privateKey));
    nonce = reply.nonce;
    if (reply.status >= 400) throw new Error(`${url}: ${JSON.stringify(reply.json)}`);
    return reply;
  };
  const account = await post(String(urls.newAccount), { termsOfServiceAgreed: true });
  identity = { kid: account.location };
  return {
    async order(names) {
      const identifiers = names.map((value) => ({ type: 'dns', value }));
      const { json } = await post(String(urls.newOrder), { identifiers });
      const challenges: DnsChallenge[] = [];
      for (const url of json.authorizations as string[]) {
        const authorization = (await post(url, undefined)).json as unknown as Authorization;
        challenges.push(challengeOf(url, authorization, thumbprint, post));
      }
      return challenges;
    },
  };
}

interface Authorization {
  readonly status: string;
  readonly identifier: { readonly value: string };
  readonly challenges: readonly {
    readonly type: string;
    readonly url: string;
    readonly token: string;
  }[];
}

function challengeOf(
  url: string,
  { identifier, challenges }: Authorization,
  thumbprint: string,
  post: (url: string, payload: object | undefined) => Promise<Reply>,
): DnsChallenge {
  const challenge = challenges.find(({ type }) => type === 'dns-01');
  if (challenge === undefined) throw new Error('the server offers no dns-01');
  const keyAuthorization = `${challenge.token}.${thumbprint}`;
  return {
    fqdn: `_acme-challenge.${identifier.value}.`,
    value: createHash('sha256').update(keyAuthorization).digest('base64url'),
    async validate() {
      await post(challenge.url, {});
      for (;;) {
        const { status } = (await post(url, undefined)).json as unknown as Authorization;
        if (status !== 'pending') return status;
        await sleep(20);
      }
    },
  };
}

/** A JWS in the flattened form; without a payload, a POST-as-GET (RFC 8555 §6.3). */
function signed(header: object, payload: object | undefined, key: KeyObject): string {
  const encode = (value: object): string =>
    Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = { protected: encode(header), payload: payload === undefined ? '' : encode(payload) };
  const octets = Buffer.from(`${text.protected}.${text.payload}`);
  const signature = sign('sha256', octets, { key, dsaEncoding: 'ieee-p1363' });
  return JSON.stringify({ ...text, signature: signature.toString('base64url') });
}

function fetchJson(url: string, ca: Buffer, body: string | undefined): Promise<Reply> {
  const method = body === undefined ? 'GET' : 'POST';
  const headers = { 'content-type': 'application/jose+json' };
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method, headers, ca, agent: false }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('error', reject);
      incoming.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        const { statusCode: status = 0 } = incoming;
        const { location = '', 'replay-nonce': nonce = '' } = incoming.headers;
        resolve({
          status,
          location,
          nonce: String(nonce),
          json: text === '' ? {} : JSON.parse(text),
        });
      });
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
