/** Writes to a store as its other clients do: through etcd, or through the server's own keys API. */
import { Agent, request } from 'node:http';
import { Etcd3 } from 'etcd3';
import type { KeyChange } from './changes.ts';

export type Endpoint =
  | { readonly kind: 'etcd'; readonly hosts: string }
  | { readonly kind: 'http'; readonly port: number };

export interface KeyWriter {
  /** Resolves when the store has acknowledged the change. */
  write(change: KeyChange): Promise<void>;
  close(): void;
}

const CONNECTIONS = 8;

export function openKeyWriter(endpoint: Endpoint): KeyWriter {
  return endpoint.kind === 'etcd' ? overEtcd(endpoint.hosts) : overHttp(endpoint.port);
}

function overEtcd(hosts: string): KeyWriter {
  const client = new Etcd3({ hosts });
  return {
    write: async (change) => {
      const key = Buffer.from(change.key);
      if (change.kind === 'delete') await client.kv.deleteRange({ key });
      else await client.kv.put({ key, value: Buffer.from(change.value) });
    },
    close: () => client.close(),
  };
}

function overHttp(port: number): KeyWriter {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const write = (change: KeyChange): Promise<void> =>
    new Promise((done, fail) => {
      const path = `/v2/keys${change.key}`;
      const body = change.kind === 'put' ? new URLSearchParams({ value: change.value }) : '';
      const headers = { 'content-type': 'application/x-www-form-urlencoded' };
      const method = change.kind === 'put' ? 'PUT' : 'DELETE';
      const call = request(
        { agent, host: '127.0.0.1', port, path, method, headers },
        (response) => {
          response.resume();
          response.on('end', () => {
            if ((response.statusCode ?? 500) < 300) done();
            else fail(new Error(`${method} ${path}: ${response.statusCode}`));
          });
        },
      );
      call.on('error', fail);
      call.end(String(body));
    });
  return { write, close: () => agent.destroy() };
}
