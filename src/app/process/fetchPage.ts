/**
 * Fetches JSON from a running server, for commands that print it or judge it. Does not use `fetch`, which is a client
 * of a hundred files that takes 40 ms to load.
 */
import type { IncomingMessage } from 'node:http';

export type FetchedPage =
  /** Undefined if the answer is not JSON. Nothing else about it was checked. */
  | { readonly kind: 'page'; readonly value: unknown }
  /** `problem` has no full stop. */
  | { readonly kind: 'none'; readonly problem: string };

const TIMEOUT_MS = 10_000;

/** `option`: what a server needs to have the page, as in `--register`. Never rejects. */
export async function fetchPage(url: string, path: string, option: string): Promise<FetchedPage> {
  const reply = await fetchJson(new URL(path, url), TIMEOUT_MS);
  if (reply.kind === 'none') return reply;
  const { status, value } = reply;
  if (status === 404) return { kind: 'none', problem: `a server without ${option}` };
  if (status < 200 || status > 299) return { kind: 'none', problem: `HTTP ${status}` };
  return { kind: 'page', value };
}

export type FetchedReply<Value = unknown> =
  /** `value` is undefined if the answer is not JSON. */
  | { readonly kind: 'reply'; readonly status: number; readonly value: Value }
  /** `problem` has no full stop. */
  | { readonly kind: 'none'; readonly problem: string };

export interface JsonRequest {
  /** Default GET. */
  readonly method?: 'GET' | 'DELETE';
  readonly token?: string | undefined;
}

/** Sends a request without a body, follows no redirect, and reads the whole reply within the time. Never rejects. */
export async function fetchJson(
  url: URL,
  timeoutMs: number,
  request: JsonRequest = {},
): Promise<FetchedReply> {
  const reply = await fetchText(url, timeoutMs, request);
  return reply.kind === 'none' ? reply : { ...reply, value: parsed(reply.value) };
}

/** The same for a page that is not JSON. */
export async function fetchText(
  url: URL,
  timeoutMs: number,
  request: JsonRequest = {},
): Promise<FetchedReply<string>> {
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const response = await send(url, signal, request);
    const chunks: Buffer[] = [];
    for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
    const value = Buffer.concat(chunks).toString('utf8');
    return { kind: 'reply', status: response.statusCode ?? 0, value };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const late = `no answer within ${timeoutMs / 1_000} s`;
    return { kind: 'none', problem: signal.aborted ? late : (code ?? message) };
  }
}

function send(
  url: URL,
  signal: AbortSignal,
  { method = 'GET', token }: JsonRequest,
): Promise<IncomingMessage> {
  const http = process.getBuiltinModule(url.protocol === 'https:' ? 'node:https' : 'node:http');
  const headers = {
    accept: 'application/json',
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  };
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method, signal, agent: false, headers }, resolve);
    request.on('error', reject).end();
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
