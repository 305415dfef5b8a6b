/** The engine's points in time, as nanoseconds since 1970. */
import type { EngineEvent, Inspection } from './engine.ts';

/** Whether the event happened before the inspected life of the container began. Both times are the engine's. */
export function precedesLife({ timeNano }: EngineEvent, { State }: Inspection): boolean {
  const startedNano = parseInstant(State?.StartedAt ?? '');
  const eventNano = parseNano(timeNano);
  return startedNano !== undefined && eventNano !== undefined && eventNano < startedNano;
}

/**
 * Reads RFC 3339 with up to nine digits of a second, in any zone: Docker's health log and Podman use the host's zone.
 */
export function parseInstant(text: string): bigint | undefined {
  const [, seconds, fraction = '', zone] =
    /^([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})$/.exec(
      text,
    ) ?? [];
  const ms = Date.parse(`${seconds}${zone}`);
  return Number.isNaN(ms) ? undefined : BigInt(ms) * 1_000_000n + BigInt(fraction.padEnd(9, '0'));
}

/** Reads the time of an event, which is the number as text. */
export function parseNano(text: string): bigint | undefined {
  return /^[0-9]{1,30}$/.test(text) ? BigInt(text) : undefined;
}
