/**
 * The main thread's taps: the messages about the questions that it answers, from the table or on the slow path, and
 * about those that it asks other servers.
 */
import { addressOctets, clientAddress, type SocketAddress } from '../dns/address.ts';
import { Cursor } from '../dns/cursor.ts';
import type { DnsClient, Respond } from '../dns/message.ts';
import type { Name } from '../dns/name.ts';
import { Flag, HEADER_OCTETS } from '../dns/wire.ts';
import type { ExchangeObserver, ExchangeRoute } from '../forward/exchange/exchange.ts';
import { MessageType, SOCKET_PROTOCOLS, type TappedExchange } from './messageEncoder.ts';
import type { TapWriter } from './tapWriter.ts';

/** In the third octet of a header. */
const AA = Flag.AA >> 8;
const QR = Flag.QR >> 8;

export interface ClientTapOptions {
  readonly writer: TapWriter;
  readonly sample: number;
  /** Whether a name is in our zones. */
  readonly isOurs: (name: Name) => boolean;
  /** Messages were written. */
  readonly onWritten: () => void;
  /** Receives errors that are bugs. Must not throw. */
  readonly onError: (error: unknown) => void;
}

/** One of `sample` events. */
class Sampling {
  readonly #sample: number;
  #skip = 0;

  constructor(sample: number) {
    this.#sample = sample;
  }

  /** Whether the next event is one of them. */
  get isDue(): boolean {
    return this.#skip === 0;
  }

  count(): void {
    this.#skip = this.#skip === 0 ? this.#sample - 1 : this.#skip - 1;
  }
}

/** For the clients of the main thread. */
export class ClientTap {
  readonly #options: ClientTapOptions;
  readonly #sampling: Sampling;

  constructor(options: ClientTapOptions) {
    this.#options = options;
    this.#sampling = new Sampling(options.sample);
  }

  /** A query was answered from the table; `receivedMs` of `performance.now`. */
  answered(client: DnsClient, query: Uint8Array, reply: Uint8Array, receivedMs: number): void {
    if (this.#sampling.isDue)
      this.#add(client, query, reply, this.#options.writer.wallMs(receivedMs));
    this.#sampling.count();
  }

  /** Does what `respond` does, and writes messages about each packet that gets a reply. */
  tapped(respond: Respond): Respond {
    return (packet, client, send) => {
      const isDue = this.#sampling.isDue;
      const queryMs = isDue ? this.#options.writer.wallMs(performance.now()) : 0;
      let query = packet;
      let isReplied = false;
      respond(packet, client, (reply) => {
        isReplied = true;
        if (isDue) this.#add(client, query, reply, queryMs);
        send(reply);
      });
      // Its memory is used again after the call. Not `slice`, which shares the memory of a Buffer.
      if (isDue && !isReplied) query = Uint8Array.from(packet);
      if (!isDropped(packet)) this.#sampling.count();
    };
  }

  /** A fault costs the messages, not the answer. */
  #add(client: DnsClient, query: Uint8Array, reply: Uint8Array, queryMs: number): void {
    const { writer, onWritten, onError } = this.#options;
    try {
      if (this.#write(client, query, reply, queryMs)) onWritten();
      else writer.drop(2);
    } catch (error) {
      writer.drop(2);
      onError(error);
    }
  }

  /** False if there is no room. */
  #write(client: DnsClient, query: Uint8Array, reply: Uint8Array, queryMs: number): boolean {
    const { writer } = this.#options;
    if (!writer.open(2, query.length + reply.length)) return false;
    const isOurs = this.#isOurs(query, reply);
    const { exchange } = writer;
    const local = client.localAddress;
    exchange.protocol = SOCKET_PROTOCOLS[client.transport];
    setClient(exchange, client, local, client.localPort);
    exchange.queryMs = queryMs;
    exchange.responseMs = writer.wallMs(performance.now());
    const { AUTH_QUERY, AUTH_RESPONSE, CLIENT_QUERY, CLIENT_RESPONSE } = MessageType;
    writer.add(isOurs ? AUTH_QUERY : CLIENT_QUERY, false, query, 0, query.length);
    writer.add(isOurs ? AUTH_RESPONSE : CLIENT_RESPONSE, true, reply, 0, reply.length);
    writer.commit();
    writer.publish();
    return true;
  }

  #isOurs(query: Uint8Array, reply: Uint8Array): boolean {
    if (((reply[2] as number) & AA) !== 0) return true;
    const cursor = new Cursor(query, HEADER_OCTETS);
    const name = cursor.name();
    return !cursor.failed && this.#options.isOurs(name);
  }
}

/** A packet that gets no reply. */
function isDropped(packet: Uint8Array): boolean {
  return packet.length < HEADER_OCTETS || ((packet[2] as number) & QR) !== 0;
}

/**
 * Writes messages about questions to other servers. It writes none about an exchange without an address of ours. A fault
 * costs the messages, not the exchange.
 */
export function forwarderTap({
  writer,
  sample,
  onWritten,
  onError,
}: Omit<ClientTapOptions, 'isOurs'>): ExchangeObserver {
  const sampling = new Sampling(sample);
  const write = (
    { transport, from, to }: ExchangeRoute,
    queryMs: number,
    message: Uint8Array,
    isResponse: boolean,
  ): boolean => {
    if (from === undefined || !writer.open(1, message.length)) return false;
    const { exchange } = writer;
    exchange.protocol = SOCKET_PROTOCOLS[transport];
    setClient(exchange, from, to.address, to.port);
    exchange.queryMs = queryMs;
    if (isResponse) exchange.responseMs = writer.wallMs(performance.now());
    const type = isResponse ? MessageType.FORWARDER_RESPONSE : MessageType.FORWARDER_QUERY;
    writer.add(type, isResponse, message, 0, message.length);
    writer.commit();
    writer.publish();
    return true;
  };
  const add = (...message: Parameters<typeof write>): void => {
    try {
      if (write(...message)) onWritten();
      else writer.drop(1);
    } catch (error) {
      writer.drop(1);
      onError(error);
    }
  };
  return (query, route) => {
    const isDue = sampling.isDue;
    sampling.count();
    if (!isDue) return () => {};
    const queryMs = writer.wallMs(performance.now());
    add(route, queryMs, query, false);
    return (reply) => add(route, queryMs, reply, true);
  };
}

/** `local`: the address that received the query. */
function setClient(
  exchange: TappedExchange,
  { address, port }: SocketAddress,
  local: string | undefined,
  localPort = 0,
): void {
  const octets = addressOctets(clientAddress(address));
  exchange.family = octets.length === 4 ? 4 : 6;
  exchange.queryAddress.set(octets);
  exchange.queryPort = port;
  const localOctets = local === undefined ? undefined : addressOctets(clientAddress(local));
  exchange.hasResponseAddress = localOctets?.length === octets.length;
  if (exchange.hasResponseAddress && localOctets !== undefined)
    exchange.responseAddress.set(localOctets);
  exchange.responsePort = localPort;
}
