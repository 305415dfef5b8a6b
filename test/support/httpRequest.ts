/** One HTTP request whose path is sent exactly as given, without normalization. */
import { type IncomingHttpHeaders, request } from 'node:http';

export interface Sent {
  readonly method?: string;
  /** Path and query, sent unchanged. */
  readonly path: string;
  readonly body?: string | Buffer;
  readonly headers?: Record<string, string>;
}

export interface Received {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** The body as JSON, or undefined. */
  readonly json: unknown;
}

function formHeaders(body: string | Buffer) {
  return {
    'content-type': 'application/x-www-form-urlencoded',
    'content-length': Buffer.byteLength(body),
  };
}

/** Sends to `http://host:port` on a new connection; a body without a content type is a form, as with curl. */
export function send(url: string, sent: Sent, timeoutMs = 10_000): Promise<Received> {
  const { hostname, port } = new URL(url);
  const { method = 'GET', path, body } = sent;
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        ...{ hostname, port, method, path, agent: false },
        headers: { ...(body === undefined ? {} : formHeaders(body)), ...sent.headers },
        signal: AbortSignal.timeout(timeoutMs),
      },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
        incoming.on('error', reject);
        incoming.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          const { statusCode: status = 0, headers } = incoming;
          resolve({ status, headers, body: text, json: parseOrUndefined(text) });
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

function parseOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
