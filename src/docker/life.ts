/** A container's lives: one id, another StartedAt each time. */
import type { EngineEvent, Inspection } from './engine.ts';

const SHORT_ID_DIGITS = 12;

/** As people and stamps have it. */
export function shortId(id: string): string {
  return id.slice(0, SHORT_ID_DIGITS);
}

/** Whether the event happened before the life that was inspected began: both times are the daemon's. */
export function isOlder({ timeNano }: EngineEvent, { State }: Inspection): boolean {
  const startedNano = parseInstant(State?.StartedAt ?? '');
  const eventNano = parseNano(timeNano);
  return startedNano !== undefined && eventNano !== undefined && eventNano < startedNano;
}

/**
 * RFC 3339 as engines write it, with up to nine digits of a second and in any zone (Docker's health log and Podman have
 * the host's), in nanoseconds since 1970.
 */
export function parseInstant(text: string): bigint | undefined {
  const [, seconds, fraction = '', zone] =
    /^([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})$/.exec(
      text,
    ) ?? [];
  const ms = Date.parse(`${seconds}${zone}`);
  return Number.isNaN(ms) ? undefined : BigInt(ms) * 1_000_000n + BigInt(fraction.padEnd(9, '0'));
}

/** The same of an event's time, which is such a number as text. */
export function parseNano(text: string): bigint | undefined {
  return /^[0-9]{1,30}$/.test(text) ? BigInt(text) : undefined;
}
