/** What a listener reports about its routes: their backends, the state of each, and what they carry. Pure. */
import { printSocketAddress, type SocketAddress } from '../../dns/address.ts';
import type { BackendSet } from '../route.ts';
import { type DestinationOf, DestinationView } from './destination.ts';

export interface RouteReport {
  readonly label: string;
  readonly backends: BackendSet;
  /** The backends of the route, and those that left but still carry connections. */
  readonly states: readonly BackendReport[];
  /** Connections that wait for backends. */
  readonly waiting: number;
}

export interface BackendReport extends SocketAddress {
  readonly state:
    | 'ok'
    /** It has left the route. */
    | 'draining'
    /** The last connection that the proxy tried to make to it failed. */
    | 'unreachable';
  /** Connections, or flows over UDP. */
  readonly connections: number;
  /** When its last draining connection is reset; undefined if none is. */
  readonly drainsInMs: number | undefined;
}

/** A connection or flow. */
interface CarriedFacts {
  readonly source: string;
  readonly label: string;
  readonly backend: SocketAddress | undefined;
  /** Undefined: its backend has not left the route. */
  readonly drainsInMs: number | undefined;
}

interface Tally {
  readonly backends: BackendSet;
  readonly states: Map<string, BackendReport>;
  waiting: number;
}

export class RouteReports {
  readonly #view: DestinationView;
  readonly #isUnreachable: (id: string) => boolean;
  readonly #byLabel = new Map<string, Tally>();

  constructor(destinationOf: DestinationOf, isUnreachable: (id: string) => boolean) {
    this.#view = new DestinationView(destinationOf);
    this.#isUnreachable = isUnreachable;
    const plain = this.#view.of('');
    if (plain !== undefined) this.#tallyOf(plain.label, plain.backends);
  }

  add({ source, label, backend, drainsInMs }: CarriedFacts): void {
    const destination = this.#view.of(source);
    const isItsOwn = destination?.label === label;
    const tally = this.#tallyOf(label, isItsOwn ? destination.backends : NO_BACKENDS);
    if (backend === undefined) {
      tally.waiting += 1;
      return;
    }
    const id = printSocketAddress(backend);
    const known = tally.states.get(id) ?? reportOf(backend, 'draining');
    tally.states.set(id, {
      ...known,
      connections: known.connections + 1,
      drainsInMs: drainsInMs === undefined ? known.drainsInMs : later(known.drainsInMs, drainsInMs),
    });
  }

  all(): readonly RouteReport[] {
    return [...this.#byLabel].map(([label, { backends, states, waiting }]) => {
      return { label, backends, states: [...states.values()], waiting };
    });
  }

  #tallyOf(label: string, backends: BackendSet): Tally {
    const known = this.#byLabel.get(label);
    if (known !== undefined) return known;
    const states = new Map<string, BackendReport>();
    if (backends.kind === 'known')
      for (const backend of backends.backends) {
        const id = printSocketAddress(backend);
        states.set(id, reportOf(backend, this.#isUnreachable(id) ? 'unreachable' : 'ok'));
      }
    const tally = { backends, states, waiting: 0 };
    this.#byLabel.set(label, tally);
    return tally;
  }
}

const NO_BACKENDS: BackendSet = { kind: 'known', backends: [] };

function reportOf({ address, port }: SocketAddress, state: BackendReport['state']): BackendReport {
  return { address, port, state, connections: 0, drainsInMs: undefined };
}

/** An infinite time, of a connection that may go on for ever, is no time. */
function later(a: number | undefined, b: number): number | undefined {
  if (!Number.isFinite(b)) return a;
  return Math.max(a ?? b, b);
}
