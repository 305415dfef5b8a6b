/**
 * Stops the parser in the middle of a segment when a connection has too many unanswered requests. Node makes a request
 * object of every request in a segment before anything else runs, also once the socket is destroyed; a segment of 64 KiB
 * holds a thousand of them.
 */
import { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

/**
 * The class of the requests of one server, for the option `IncomingMessage` of `createServer`. A request for which
 * `mayAsk` is false reports an upgrade: Node parses nothing of the connection after an upgrade. `mayAsk` has to close the
 * connection, and the server must listen to no upgrades.
 */
export function boundedRequests(mayAsk: (socket: Socket) => boolean): typeof IncomingMessage {
  return class BoundedRequest extends IncomingMessage {
    readonly #isRefused: boolean;
    #isUpgrade: boolean | null = null;

    constructor(socket: Socket) {
      super(socket);
      this.#isRefused = !mayAsk(socket);
    }

    get upgrade(): boolean | null {
      return this.#isRefused || this.#isUpgrade;
    }

    /** Node sets it in the base constructor, before this object has fields, and when it has read the head. */
    set upgrade(isUpgrade: boolean | null) {
      if (#isUpgrade in this) this.#isUpgrade = isUpgrade;
    }
  };
}
