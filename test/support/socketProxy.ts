/** A read-only proxy before a Docker socket, as people put between the engine and what must not command it. */
import { once } from 'node:events';
import { request as ask, createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';

export interface SocketProxy {
  /** Of its listener on 127.0.0.1. */
  readonly port: number;
  /** `GET /events`: without query. */
  readonly requests: readonly string[];
  /** How many it did not let through. */
  readonly refused: number;
  close(): Promise<void>;
}

/** What Tecnativa's lets through with CONTAINERS=1 and INFO=1. */
const ALLOWED = /^\/(?:_ping|version|info|events|containers\/json|containers\/[^/]+\/json)$/;

/** Starts one before the socket; with `tls` clients must show a certificate that `ca` signed. */
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
    const upstream = ask({ socketPath, path: request.url, agent: false }, (answer) => {
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
