/**
 * Tells secondaries about new versions (RFC 1996): at once, but to each secondary at most once in 5 s for each zone. A
 * message without a reply is sent again after 1, 2, 4 and 8 s, and given up 16 s later.
 */

import { clientAddress, type SocketAddress } from '../../dns/address.ts';
import { decodeMessage } from '../../dns/decode.ts';
import { equalNames, type Name, nameKey } from '../../dns/name.ts';
import { Rcode } from '../../dns/rr.ts';
import { Alarm, type Clock } from '../../timing/clock.ts';
import { notifyMessage } from '../../transfer/messages.ts';
import type { ListedRecord } from '../../transfer/records.ts';
import type { NotifyTarget } from '../../transfer/transferRules.ts';
import { signQuery, type TsigVerifier } from '../../transfer/tsig.ts';
import type { TsigKey, TsigKeys } from '../../transfer/tsigKeys.ts';

export type NotifyOutcome = 'acknowledged' | 'refused' | 'unanswered';

export interface NotifierOptions {
  readonly targets: () => readonly NotifyTarget[];
  readonly keys: () => TsigKeys;
  readonly clock: Clock;
  /** From 0 to 65535. */
  readonly randomId: () => number;
  /** Sends a packet. Errors count as a missing reply. */
  readonly send: (packet: Uint8Array, server: SocketAddress) => void;
  readonly onResult: (zone: Name, target: NotifyTarget, result: NotifyOutcome) => void;
}

/** A secondary has at most one message in this time about one zone. */
const LEAST_INTERVAL_MS = 5_000;
const WAITS_MS = [1_000, 2_000, 4_000, 8_000, 16_000];

export class Notifier {
  readonly #options: NotifierOptions;
  readonly #announcements = new Map<string, Announcement>();

  constructor(options: NotifierOptions) {
    this.#options = options;
  }

  /** Announces the version with that SOA. */
  announce(zone: Name, soa: ListedRecord): void {
    const wanted = new Set<string>();
    for (const target of this.#options.targets()) {
      const key = announcementKey(zone, target);
      wanted.add(key);
      const known = this.#announcements.get(key) ?? new Announcement(zone, target, this.#options);
      this.#announcements.set(key, known);
      known.announce(soa);
    }
    for (const [key, announcement] of this.#announcements) {
      if (wanted.has(key) || !equalNames(announcement.zone, zone)) continue;
      announcement.close();
      this.#announcements.delete(key);
    }
  }

  /** Call this with each packet that arrives from a server. */
  receive(packet: Uint8Array, from: SocketAddress): void {
    for (const announcement of this.#announcements.values()) {
      if (announcement.receive(packet, from)) return;
    }
  }

  close(): void {
    for (const announcement of this.#announcements.values()) announcement.close();
    this.#announcements.clear();
  }
}

function announcementKey(zone: Name, { server, key }: NotifyTarget): string {
  return `${server.address} ${server.port} ${key === undefined ? '' : nameKey(key)} ${nameKey(zone)}`;
}

/** What one secondary is told about one zone. */
class Announcement {
  readonly zone: Name;
  readonly #target: NotifyTarget;
  readonly #options: NotifierOptions;
  readonly #alarm: Alarm;
  /** The newest version. */
  #soa: ListedRecord | undefined;
  /** The message that waits for its reply. */
  #sent: { readonly id: number; readonly verifier: TsigVerifier | undefined } | undefined;
  /** Messages without a reply. */
  #tries = 0;
  /** A version has come since the last message. */
  #isNews = false;
  #firstSentAtMs = Number.NEGATIVE_INFINITY;

  constructor(zone: Name, target: NotifyTarget, options: NotifierOptions) {
    this.zone = zone;
    this.#target = target;
    this.#options = options;
    this.#alarm = new Alarm(options.clock, () => this.#onAlarm());
  }

  announce(soa: ListedRecord): void {
    this.#soa = soa;
    this.#isNews = true;
    if (this.#sent === undefined) this.#schedule();
  }

  /** Whether the packet is the reply. */
  receive(packet: Uint8Array, from: SocketAddress): boolean {
    const { server } = this.#target;
    const sent = this.#sent;
    if (sent === undefined || from.port !== server.port) return false;
    if (clientAddress(from.address) !== clientAddress(server.address)) return false;
    const reply = this.#verified(packet, sent.verifier);
    if (reply === undefined || reply.id !== sent.id || !reply.isResponse) return false;
    this.#end(reply.rcode === Rcode.NOERROR ? 'acknowledged' : 'refused');
    return true;
  }

  close(): void {
    this.#alarm.set(undefined);
  }

  #verified(packet: Uint8Array, verifier: TsigVerifier | undefined) {
    if (verifier === undefined) return decodeMessage(packet);
    const message = verifier.verify(packet, this.#nowSeconds());
    return typeof message === 'string' ? undefined : decodeMessage(message);
  }

  #schedule(): void {
    const { clock } = this.#options;
    this.#alarm.set(Math.max(clock.monotonicMs(), this.#firstSentAtMs + LEAST_INTERVAL_MS));
  }

  #onAlarm(): void {
    if (this.#sent !== undefined && this.#tries === WAITS_MS.length) this.#end('unanswered');
    else this.#send();
  }

  #send(): void {
    const { clock, randomId, send } = this.#options;
    if (this.#soa === undefined) return;
    const id = randomId();
    const message = notifyMessage(id, this.#soa);
    const key = this.#key();
    const { signed, verifier } =
      key === undefined
        ? { signed: message, verifier: undefined }
        : signQuery(message, key, this.#nowSeconds());
    const nowMs = clock.monotonicMs();
    if (this.#tries === 0) this.#firstSentAtMs = nowMs;
    this.#sent = { id, verifier };
    this.#isNews = false;
    this.#alarm.set(nowMs + (WAITS_MS[this.#tries] as number));
    this.#tries++;
    send(signed, this.#target.server);
  }

  #key(): TsigKey | undefined {
    const { key } = this.#target;
    return key && this.#options.keys().get(nameKey(key));
  }

  #end(result: NotifyOutcome): void {
    this.#sent = undefined;
    this.#tries = 0;
    this.#alarm.set(undefined);
    this.#options.onResult(this.zone, this.#target, result);
    if (this.#isNews) this.#schedule();
  }

  #nowSeconds(): number {
    return Math.floor(this.#options.clock.wallMs() / 1_000);
  }
}
