/** Probes a service once over the network. Only the result is kept, not the answer. */
import { request as httpRequest, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { addressFamily, addressOctets, printAddress } from '../../dns/address.ts';
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

/** Addresses, besides link-local ones, from which AWS, Azure, Alibaba and Oracle give a machine its secrets. */
const METADATA_ADDRESSES = ['fd00:ec2::254', '168.63.129.16', '100.100.100.200', '192.0.0.192'];

/** Limits the targets, which containers choose: the registrar may reach more of the network than a container. */
function mayBeProbed(host: string): boolean {
  if (addressFamily(host) === 0) return false;
  const octets = addressOctets(host);
  const reached = octets.length === 16 ? (embeddedIpv4(octets) ?? octets) : octets;
  const [first, second = 0] = reached;
  const isLinkLocal =
    reached.length === 4
      ? first === 169 && second === 254
      : first === 0xfe && (second & 0xc0) === 0x80;
  return !isLinkLocal && !METADATA_ADDRESSES.includes(printAddress(reached));
}

/** RFC 4291 §2.5.5.2 and RFC 6052 §2.1. */
const IPV4_PREFIXES = ['00000000000000000000ffff', '0064ff9b0000000000000000'];

function embeddedIpv4(octets: Uint8Array): Uint8Array | undefined {
  const prefix = Buffer.from(octets.subarray(0, 12)).toString('hex');
  return IPV4_PREFIXES.includes(prefix) ? octets.subarray(12) : undefined;
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
