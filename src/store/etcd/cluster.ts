/**
 * Calls to an etcd cluster: uses one member until it fails, then the next member; logs in and renews the token.
 *
 * Invariant: a write that must not happen twice is sent again only if the first request certainly never left this
 * process. If the answer to such a write takes longer than a fifth of its deadline, later calls go to another member.
 */
import type {
  IDeleteRangeRequest,
  IDeleteRangeResponse,
  ILeaseGrantRequest,
  ILeaseGrantResponse,
  ILeaseKeepAliveRequest,
  ILeaseKeepAliveResponse,
  ILeaseRevokeRequest,
  ILeaseRevokeResponse,
  ILeaseTimeToLiveRequest,
  ILeaseTimeToLiveResponse,
  IRangeRequest,
  IRangeResponse,
  ITxnRequest,
  ITxnResponse,
} from 'etcd3';
import { withDeadline } from '../../timing/deadline.ts';
import type { Endpoint } from './endpoint.ts';
import {
  GRPC,
  GrpcFailure,
  isAuthDisabled,
  isNeverSent,
  isTokenRefused,
  LoginFailure,
  storeErrorOf,
} from './failure.ts';
import type { GrpcStream } from './grpcStream.ts';

interface CallTraits {
  readonly service: 'KV' | 'Lease';
  /** Whether sending the request twice does no harm. A second leaseGrant leaves an unused lease, which expires. */
  readonly repeatable: boolean;
  readonly stream?: boolean;
  /** The method's name on the wire if it differs. */
  readonly rpc?: keyof Calls;
}

const METHODS: Readonly<Record<keyof Calls, CallTraits>> = {
  range: { service: 'KV', repeatable: true },
  txn: { service: 'KV', repeatable: false },
  readTxn: { service: 'KV', repeatable: true, rpc: 'txn' },
  deleteRange: { service: 'KV', repeatable: false },
  leaseGrant: { service: 'Lease', repeatable: true },
  leaseKeepAlive: { service: 'Lease', repeatable: true, stream: true },
  leaseRevoke: { service: 'Lease', repeatable: true },
  leaseTimeToLive: { service: 'Lease', repeatable: true },
};

interface Calls {
  range: [IRangeRequest, IRangeResponse];
  txn: [ITxnRequest, ITxnResponse];
  /** A transaction that only reads. */
  readTxn: [ITxnRequest, ITxnResponse];
  deleteRange: [IDeleteRangeRequest, IDeleteRangeResponse];
  leaseGrant: [ILeaseGrantRequest, ILeaseGrantResponse];
  leaseKeepAlive: [ILeaseKeepAliveRequest, ILeaseKeepAliveResponse];
  leaseRevoke: [ILeaseRevokeRequest, ILeaseRevokeResponse];
  leaseTimeToLive: [ILeaseTimeToLiveRequest, ILeaseTimeToLiveResponse];
}

/** The fraction of its deadline after which an unanswered write makes later calls use another member. */
const SILENT_AFTER = 1 / 5;

export interface Login {
  readonly user: string;
  readonly password: string;
}

/** A login on one member. Every member accepts its token. */
interface Session {
  readonly endpoint: Endpoint;
  /** Undefined: etcd requires none. */
  readonly token: Promise<string | undefined>;
  isReady: boolean;
}

/** Reads a range from one member. Rejects with a StoreError. */
export type ReadRange = (request: IRangeRequest) => Promise<IRangeResponse>;

/** A watch stream, its member, and the member's revision when the stream was opened. */
export interface OpenedWatch {
  readonly stream: GrpcStream;
  readonly endpoint: Endpoint;
  readonly revision: number;
}

export class Cluster {
  readonly #endpoints: readonly Endpoint[];
  readonly #login: Login | undefined;
  readonly #callTimeoutMs: number;
  #current = 0;
  #session: Session | undefined;

  constructor(
    endpoints: readonly Endpoint[],
    options: { login: Login | undefined; callTimeoutMs: number },
  ) {
    this.#endpoints = endpoints;
    this.#login = options.login;
    this.#callTimeoutMs = options.callTimeoutMs;
  }

  /**
   * One call on the current member, and on other members if repeating the call is safe. Rejects with a StoreError
   * within the timeout.
   */
  async call<Name extends keyof Calls>(
    method: Name,
    request: Calls[Name][0],
    timeoutMs = this.#callTimeoutMs,
  ): Promise<Calls[Name][1]> {
    const { repeatable } = METHODS[method];
    const until = performance.now() + timeoutMs;
    for (let tried = 1; ; tried++) {
      const endpoint = this.#endpoint();
      const leftMs = until - performance.now();
      const hasOthers = tried < this.#endpoints.length;
      // Keep time for the other members if this one stays silent.
      const shareMs = repeatable && hasOthers ? leftMs / 2 : leftMs;
      const failOverIfSilent = (): void => this.failOver(endpoint);
      const silence = repeatable ? undefined : setTimeout(failOverIfSilent, shareMs * SILENT_AFTER);
      try {
        return await this.#callOn(endpoint, method, request, shareMs);
      } catch (error) {
        const failure = storeErrorOf(error, `etcd ${endpoint.address}`);
        if (failure.code !== 'unavailable' && failure.code !== 'denied') throw failure;
        this.failOver(endpoint);
        const safe = repeatable || isNeverSent(error);
        const more = hasOthers && performance.now() < until;
        if (!safe || !more) throw failure;
      } finally {
        clearTimeout(silence);
      }
    }
  }

  /**
   * Opens a stream for one watch on the current member. `check` first reads through the cluster's leader on the same
   * member: this shows that the member is connected to the leader, is up to date, and accepts the token. `check`
   * returns the member's revision. Rejects with the error of `check` or of the stream.
   */
  async openWatch(check: (read: ReadRange) => Promise<number>): Promise<OpenedWatch> {
    const endpoint = this.#endpoint();
    const read: ReadRange = (request) => this.#rangeOn(endpoint, request);
    try {
      const revision = await check(read);
      const stream = endpoint.openWatch(await this.#tokenFrom(endpoint, this.#callTimeoutMs));
      return { stream, endpoint, revision };
    } catch (error) {
      const failure = storeErrorOf(error, `etcd ${endpoint.address}`);
      if (failure.code !== 'replaced') this.failOver(endpoint);
      throw failure;
    }
  }

  /** Makes later calls use the next member, if this member is still the current one. */
  failOver(endpoint: Endpoint): void {
    if (this.#endpoint() === endpoint) this.#current = (this.#current + 1) % this.#endpoints.length;
  }

  close(): void {
    for (const endpoint of this.#endpoints) endpoint.close();
  }

  #endpoint(): Endpoint {
    return this.#endpoints[this.#current] as Endpoint;
  }

  async #rangeOn(endpoint: Endpoint, request: IRangeRequest): Promise<IRangeResponse> {
    try {
      return await this.#callOn(endpoint, 'range', request, this.#callTimeoutMs);
    } catch (error) {
      throw storeErrorOf(error, `etcd ${endpoint.address}`);
    }
  }

  async #callOn<Name extends keyof Calls>(
    endpoint: Endpoint,
    method: Name,
    request: Calls[Name][0],
    timeoutMs: number,
  ): Promise<Calls[Name][1]> {
    const { service, stream = false, rpc = method } = METHODS[method];
    const until = performance.now() + timeoutMs;
    const call = async (): Promise<Calls[Name][1]> => {
      const token = await this.#tokenFrom(endpoint, until - performance.now());
      const left = Math.max(1, until - performance.now());
      const options = { timeoutMs: left, token, stream };
      const response = await endpoint.call(service, rpc, request, options);
      return response as Calls[Name][1];
    };
    const session = this.#session;
    try {
      return await call();
    } catch (error) {
      if (this.#login === undefined || !isTokenRefused(error)) throw error;
      // Several calls may get this error at once; only the first one drops the token.
      if (this.#session === session) this.#session = undefined;
      return await call();
    }
  }

  /** Calls share a login, but each waits only for its own time. Rejects with a LoginFailure. */
  async #tokenFrom(endpoint: Endpoint, timeoutMs: number): Promise<string | undefined> {
    const login = this.#login;
    if (login === undefined) return undefined;
    let session = this.#session;
    // A member that has not answered a login yet may be dead, so a call on another member does not wait for it.
    if (session === undefined || (!session.isReady && session.endpoint !== endpoint)) {
      session = this.#logIn(endpoint, login);
    }
    try {
      return await withDeadline(session.token, timeoutMs, () => {
        throw new GrpcFailure(GRPC.deadlineExceeded, 'the login has not been answered');
      });
    } catch (error) {
      throw new LoginFailure(error);
    }
  }

  #logIn(endpoint: Endpoint, login: Login): Session {
    // Keep time for the other members if this one stays silent.
    const timeoutMs = this.#callTimeoutMs / (this.#endpoints.length > 1 ? 2 : 1);
    const token = authenticate(endpoint, login, timeoutMs);
    const session: Session = { endpoint, token, isReady: false };
    this.#session = session;
    token.then(
      () => {
        session.isReady = true;
      },
      () => {
        if (this.#session === session) this.#session = undefined;
      },
    );
    return session;
  }
}

async function authenticate(
  endpoint: Endpoint,
  login: Login,
  timeoutMs: number,
): Promise<string | undefined> {
  const request = { name: login.user, password: login.password };
  try {
    const options = { timeoutMs, token: undefined };
    const response = await endpoint.call('Auth', 'authenticate', request, options);
    return (response as { token: string }).token;
  } catch (error) {
    if (isAuthDisabled(error)) return undefined;
    throw error;
  }
}
