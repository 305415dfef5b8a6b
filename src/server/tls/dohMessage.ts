/** DNS messages in HTTP (RFC 8484): the query in a request, and how long a cache may keep a reply. Pure. */
import { Rcode, Type } from '../../dns/rr.ts';
import {
  afterName,
  HEADER_OCTETS,
  MAX_MESSAGE_OCTETS,
  QUESTION_FIELDS_OCTETS,
  RR_FIELDS_OCTETS,
} from '../../dns/wire.ts';

export const DNS_MESSAGE = 'application/dns-message';

/** The parts of a request that say what it is. */
export interface DohHead {
  readonly method: string | undefined;
  /** Path and query. */
  readonly target: string | undefined;
  readonly contentType: string | undefined;
  readonly contentLength: string | undefined;
}

export type DohRequest =
  | { readonly kind: 'query'; readonly query: Uint8Array }
  /** The query is the body. */
  | { readonly kind: 'body' }
  | DohRefusal;

export interface DohRefusal {
  readonly kind: 'refused';
  readonly status: 400 | 404 | 405 | 413 | 415;
}

const TOO_LONG: DohRefusal = { kind: 'refused', status: 413 };
export const BAD_REQUEST: DohRefusal = { kind: 'refused', status: 400 };

/** §4.1: GET with the query in `dns`, or POST with the query as the body. `path` is the one that is served. */
export function readHead(
  { method, target = '', contentType = '', contentLength }: DohHead,
  path: string,
): DohRequest {
  const mark = target.indexOf('?');
  if ((mark < 0 ? target : target.slice(0, mark)) !== path) return { kind: 'refused', status: 404 };
  if (method === 'GET') return mark < 0 ? BAD_REQUEST : readParameters(target.slice(mark + 1));
  if (method !== 'POST') return { kind: 'refused', status: 405 };
  const [type = ''] = contentType.split(';');
  if (type.trim().toLowerCase() !== DNS_MESSAGE) return { kind: 'refused', status: 415 };
  return Number(contentLength ?? 0) > MAX_MESSAGE_OCTETS ? TOO_LONG : { kind: 'body' };
}

/** The longest text of a message in base64url. */
const MAX_TEXT = Math.ceil((MAX_MESSAGE_OCTETS * 4) / 3);

function readParameters(parameters: string): DohRequest {
  const [text, ...others] = parameters
    .split('&')
    .flatMap((each) => (each.startsWith('dns=') ? [each.slice('dns='.length)] : []));
  if (text === undefined || others.length > 0) return BAD_REQUEST;
  if (text.length > MAX_TEXT) return TOO_LONG;
  // RFC 4648 §5, without padding (RFC 8484 §6). No octets have a text with one character more than whole groups of four.
  if (!/^[A-Za-z0-9_-]+$/.test(text) || text.length % 4 === 1) return BAD_REQUEST;
  return { kind: 'query', query: Buffer.from(text, 'base64url') };
}

const FIRST_OCTETS = 512;

/**
 * The body of a POST. It copies the chunks into memory that doubles: a client may send chunks of one octet, and a list
 * of chunks would keep the memory that each was read into.
 */
export class PostBody {
  #memory = new Uint8Array();
  #octets = 0;

  /** It is too long for a message, and keeps nothing more. */
  get isTooLong(): boolean {
    return this.#octets > MAX_MESSAGE_OCTETS;
  }

  /** What has come. The memory is this body's until the next `push`. */
  get octets(): Uint8Array {
    return this.#memory.subarray(0, this.#octets);
  }

  push(chunk: Uint8Array): void {
    if (this.isTooLong) return;
    const at = this.#octets;
    this.#octets += chunk.length;
    if (this.isTooLong) this.#memory = new Uint8Array();
    else this.#room(this.#octets).set(chunk, at);
  }

  #room(octets: number): Uint8Array {
    if (octets > this.#memory.length) {
      const memory = new Uint8Array(Math.max(octets, 2 * this.#memory.length, FIRST_OCTETS));
      memory.set(this.#memory);
      this.#memory = memory;
    }
    return this.#memory;
  }
}

/** Whether the octets can be a query. Of other messages the responder sends no reply. */
export function isQuery(octets: Uint8Array): boolean {
  const isReply = ((octets[2] ?? 0) & 0x80) !== 0;
  return octets.length >= HEADER_OCTETS && !isReply;
}

const NO_STORE = 'no-store';
const U32 = 4;

/**
 * §5.1: a cache keeps a reply no longer than the least TTL of its answer section, and a negative one no longer than its
 * SOA says (RFC 2308 §5). Errors are not kept. `reply` is a message of this server.
 */
export function cacheControlOf(reply: Uint8Array): string {
  const rcode = (reply[3] ?? 0) & 0xf;
  if (rcode !== Rcode.NOERROR && rcode !== Rcode.NXDOMAIN) return NO_STORE;
  const view = new DataView(reply.buffer, reply.byteOffset, reply.length);
  const answers = view.getUint16(6);
  const records = answers + view.getUint16(8);
  let seconds = Number.POSITIVE_INFINITY;
  let at = HEADER_OCTETS;
  for (let left = view.getUint16(4); left > 0; left--)
    at = afterName(reply, at) + QUESTION_FIELDS_OCTETS;
  for (let i = 0; i < records; i++) {
    const fields = afterName(reply, at);
    const dataAt = fields + RR_FIELDS_OCTETS;
    const type = view.getUint16(fields);
    const dataEnd = dataAt + view.getUint16(dataAt - 2);
    const ttl = view.getUint32(fields + 4);
    if (i < answers) seconds = Math.min(seconds, ttl);
    // The last field of an SOA is MINIMUM.
    else if (type === Type.SOA) seconds = Math.min(seconds, ttl, view.getUint32(dataEnd - U32));
    at = dataEnd;
  }
  return Number.isFinite(seconds) ? `max-age=${seconds}` : NO_STORE;
}
