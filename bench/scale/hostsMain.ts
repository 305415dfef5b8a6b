/** A child process of the benchmark with the mirrors, or the registrars' leases, of some of the hosts. */
import { HostLeases } from '../../test/support/hostLeases.ts';
import { epochMs, HostMirrors, type MirrorCheck } from '../../test/support/hostMirrors.ts';
import { serveLines } from '../lineChild.ts';

export type HostsRequest =
  | { readonly kind: 'connect'; readonly endpoint: string; readonly leaseTtlSeconds: number }
  | { readonly kind: 'register'; readonly first: number; readonly count: number }
  | { readonly kind: 'renew'; readonly times: number }
  | { readonly kind: 'start'; readonly count: number }
  | { readonly kind: 'agree'; readonly revision: number }
  | { readonly kind: 'arrivals'; readonly revisions: readonly number[] }
  | { readonly kind: 'cut' | 'restore' | 'check' | 'close' | 'now' };

export interface HostsAnswer {
  readonly leases?: readonly string[];
  readonly leaseLosses?: number;
  readonly renewals?: { readonly renewed: number; readonly unanswered: number };
  /** See `epochMs`. */
  readonly times?: readonly number[];
  readonly arrivals?: readonly (readonly number[])[];
  readonly check?: MirrorCheck;
}

let mirrors = new HostMirrors('');
let leases = new HostLeases('', 1);

async function answer(request: HostsRequest): Promise<HostsAnswer> {
  switch (request.kind) {
    case 'connect':
      mirrors = new HostMirrors(request.endpoint);
      leases = new HostLeases(request.endpoint, request.leaseTtlSeconds);
      return {};
    case 'register':
      return { leases: await leases.start(request.first, request.count) };
    case 'renew':
      return { renewals: await leases.renew(request.times) };
    case 'start':
      mirrors.start(request.count);
      return {};
    case 'agree':
      return { times: await mirrors.agree(request.revision) };
    case 'arrivals':
      return { arrivals: mirrors.arrivals(request.revisions) };
    case 'cut':
      mirrors.cut();
      return {};
    case 'restore':
      mirrors.restore();
      return {};
    case 'check':
      return { check: await mirrors.check(), leaseLosses: leases.losses };
    case 'close':
      await mirrors.close();
      return {};
    case 'now':
      return { times: [epochMs()] };
  }
}

// A request may wait for mirrors that never agree.
process.stdin.on('end', () => process.exit());
await serveLines(answer);
