/** One try of a check, over the network. Nothing of the answer is kept but whether it was a good one. */
import { request as httpRequest, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import type { Probe, ProbeTarget } from './checks.ts';

/** Passes when the port can be connected to, or with any status of 200 to 299. */
export const probe: Probe = (target, aborted) => {
  const signal = AbortSignal.any([aborted, AbortSignal.timeout(target.check.timeoutMs)]);
  return target.check.kind === 'tcp' ? probeTcp(target, signal) : probeHttp(target, signal);
};

function probeTcp({ host, port }: ProbeTarget, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (isPassing: boolean): void => {
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      resolve(isPassing);
    };
    const onAbort = (): void => end(false);
    signal.addEventListener('abort', onAbort);
    socket.on('connect', () => end(true)).on('error', () => end(false));
    if (signal.aborted) end(false);
  });
}

function probeHttp({ check, host, port }: ProbeTarget, signal: AbortSignal): Promise<boolean> {
  if (check.kind === 'tcp') return Promise.resolve(false);
  const { kind, path, method } = check;
  const options: RequestOptions = { host, port, path, method, signal, agent: false };
  return new Promise((resolve) => {
    // A service is asked at its address, which no certificate names.
    const request =
      kind === 'https'
        ? httpsRequest({ ...options, rejectUnauthorized: false })
        : httpRequest(options);
    request.on('error', () => resolve(false));
    request.on('response', ({ statusCode = 0 }) => {
      resolve(statusCode >= 200 && statusCode <= 299);
      request.destroy();
    });
    request.end();
  });
}
