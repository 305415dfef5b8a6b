/** Probes a service once over the network. Only the result is kept, not the answer. */
import { request as httpRequest, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import {
  addressOctets,
  canonicalAddress,
  embeddedIpv4,
  isLinkLocal,
  isMetadataAddress,
  printAddress,
} from '../../dns/address.ts';
import type { Probe, ProbeTarget } from './checks.ts';

/**
 * A TCP probe passes when it connects, an HTTP probe with a status of 200 to 299. The addresses at which clouds give
 * out secrets are never probed.
 */
export const probe: Probe = (target, aborted) => {
  if (!mayBeProbed(target.host)) return Promise.resolve(false);
  const signal = AbortSignal.any([aborted, AbortSignal.timeout(target.check.timeoutMs)]);
  return target.check.kind === 'tcp' ? probeTcp(target, signal) : probeHttp(target, signal);
};

/** Limits the targets, which containers choose: the registrar may reach more of the network than a container. */
function mayBeProbed(host: string): boolean {
  const address = canonicalAddress(host)?.address;
  if (address === undefined) return false;
  const octets = addressOctets(address);
  const reached = embeddedIpv4(octets) ?? octets;
  return !isLinkLocal(reached) && !isMetadataAddress(printAddress(reached));
}

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
    // Without verification, because the request goes to an address, which certificates do not name.
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
