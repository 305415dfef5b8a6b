/** A read-only proxy in front of a Docker socket, like the socket proxies that operators use. */
import { once } from 'node:events';
import { createServer, type RequestListener, request as sendRequest } from 'node:http';
import { createServer as createTlsServer } from 'node:https';

export interface SocketProxy {
  /** Port on 127.0.0.1. */
  readonly port: number;
  /** Requests as `GET /events`, without the query string. */
  readonly requests: readonly string[];
  /** Number of refused requests. */
  readonly refused: number;
  close(): Promise<void>;
}

/** The requests that Tecnativa's proxy allows with CONTAINERS=1 and INFO=1. */
const ALLOWED = /^\/(?:_ping|version|info|events|containers\/json|containers\/[^/]+\/json)$/;

/** Starts a proxy for the socket; with `tls` clients need a certificate signed by `ca`. */
export async function startSocketProxy(
  socketPath: string,
  tls?: { readonly ca: Buffer; readonly cert: Buffer; readonly key: Buffer },
): Promise<SocketProxy> {
  const requests: string[] = [];
  let refused = 0;
  const pass: RequestListener = (request, response) => {
    const path = (request.url ?? '').replace(/\?.*/s, '');
    requests.push(`${request.method} ${path}`);
    if (request.method !== 'GET' || !ALLOWED.test(path)) {
      refused++;
      response.writeHead(403).end('Request forbidden by administrative rules.');
      return;
    }
    const upstream = sendRequest({ socketPath, path: request.url, agent: false }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      response.flushHeaders();
      answer.pipe(response);
      answer.on('aborted', () => response.destroy());
    });
    upstream.on('error', () => {
      if (!response.headersSent) response.writeHead(503).end();
      else response.destroy();
    });
    response.on('close', () => upstream.destroy());
    upstream.end();
  };
  const server =
    tls === undefined
      ? createServer(pass)
      : createTlsServer({ ...tls, requestCert: true, rejectUnauthorized: true }, pass);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    requests,
    get refused() {
      return refused;
    },
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
