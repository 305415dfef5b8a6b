/**
 * The control frames of Frame Streams (https://github.com/farsightsec/fstrm, control.h), between a sender of frames and
 * their reader:
 *
 *     sender   READY           which contents it can send
 *     reader   ACCEPT          which of them it wants
 *     sender   START           the content that follows; then the frames
 *     sender   STOP            no frame follows
 *     reader   FINISH          it has them all
 *
 * A control frame is a length of 0, the length of the rest, its type and its fields. Pure.
 */

/** The content type of dnstap's messages. */
export const DNSTAP_CONTENT = 'protobuf:dnstap.Dnstap';

const Control = { ACCEPT: 1, START: 2, STOP: 3, READY: 4, FINISH: 5 } as const;
const CONTENT_TYPE = 1;
/** As in the reference implementation. */
const MOST_CONTROL_OCTETS = 512;

export function readyFrame(): Buffer {
  return controlFrame(Control.READY, DNSTAP_CONTENT);
}

export function startFrame(): Buffer {
  return controlFrame(Control.START, DNSTAP_CONTENT);
}

export function stopFrame(): Buffer {
  return controlFrame(Control.STOP);
}

function controlFrame(type: number, contentType?: string): Buffer {
  const content = Buffer.from(contentType ?? '', 'latin1');
  const fieldOctets = contentType === undefined ? 0 : 8 + content.length;
  const frame = Buffer.alloc(12 + fieldOctets);
  frame.writeUInt32BE(4 + fieldOctets, 4);
  frame.writeUInt32BE(type, 8);
  if (contentType === undefined) return frame;
  frame.writeUInt32BE(CONTENT_TYPE, 12);
  frame.writeUInt32BE(content.length, 16);
  content.copy(frame, 20);
  return frame;
}

/** What a reader sends. */
export type ReaderFrame =
  /** Without content types the reader takes any. */
  | { readonly kind: 'accept'; readonly contentTypes: readonly string[] }
  | { readonly kind: 'finish' }
  | { readonly kind: 'malformed' };

/** Collects a reader's octets and reads the control frames in them. */
export class ReaderFrames {
  #octets = Buffer.alloc(0);

  push(chunk: Buffer): void {
    this.#octets = Buffer.concat([this.#octets, chunk]);
  }

  /** The next frame; undefined if it is not complete. */
  next(): ReaderFrame | undefined {
    if (this.#octets.length < 8) return undefined;
    const length = this.#octets.readUInt32BE(4);
    const isControl = this.#octets.readUInt32BE(0) === 0;
    if (!isControl || length < 4 || length > MOST_CONTROL_OCTETS) return { kind: 'malformed' };
    if (this.#octets.length < 8 + length) return undefined;
    const payload = this.#octets.subarray(8, 8 + length);
    this.#octets = this.#octets.subarray(8 + length);
    switch (payload.readUInt32BE(0)) {
      case Control.ACCEPT:
        return acceptFrame(payload);
      case Control.FINISH:
        return { kind: 'finish' };
      default:
        return { kind: 'malformed' };
    }
  }
}

function acceptFrame(payload: Buffer): ReaderFrame {
  const contentTypes: string[] = [];
  for (let at = 4; at < payload.length; ) {
    const end = at + 8 > payload.length ? Number.NaN : at + 8 + payload.readUInt32BE(at + 4);
    if (!(end <= payload.length)) return { kind: 'malformed' };
    if (payload.readUInt32BE(at) === CONTENT_TYPE)
      contentTypes.push(payload.toString('latin1', at + 8, end));
    at = end;
  }
  return { kind: 'accept', contentTypes };
}

export function acceptsDnstap(contentTypes: readonly string[]): boolean {
  return contentTypes.length === 0 || contentTypes.includes(DNSTAP_CONTENT);
}
