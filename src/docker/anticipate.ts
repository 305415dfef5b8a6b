/**
 * What an event says about a container before it has been inspected again: only what takes it out of DNS, as that must
 * not wait. What could bring it in is for the inspection to say. PURE.
 */
import type { EngineEvent, Inspection } from './engine.ts';

/** The inspection as it must look by now; the same object when the event does not say. */
export function anticipate(inspection: Inspection, event: EngineEvent): Inspection {
  if (event.type !== 'container') return inspection;
  const { State } = inspection;
  switch (event.action) {
    case 'die':
    case 'died':
    case 'destroy':
      return {
        ...inspection,
        State: { ...State, Status: 'exited', Running: false, Paused: false, Restarting: false },
      };
    case 'pause':
      return { ...inspection, State: { ...State, Status: 'paused', Paused: true } };
    case 'health_status: unhealthy':
      return {
        ...inspection,
        State: { ...State, Health: { ...State?.Health, Status: 'unhealthy' } },
      };
    default:
      return inspection;
  }
}

/** Whether the event may take the container out of DNS, so that what was seen before it must not be believed. */
export function takesOut(event: EngineEvent): boolean {
  const seen: Inspection = { Id: event.containerId };
  return anticipate(seen, event) !== seen;
}

/** Whether the event ended a life of the container. */
export function isDeath({ type, action }: EngineEvent): boolean {
  return type === 'container' && (action === 'die' || action === 'died');
}

export function isStart({ type, action }: EngineEvent): boolean {
  return type === 'container' && action === 'start';
}

/**
 * Whether the health may be another one in a moment: Podman's events have no verdict, and the end of a command may be
 * that of a check. Docker's say which it is, and come after it has changed.
 */
export function isAboutHealth({ type, action }: EngineEvent): boolean {
  return type === 'container' && (action === 'health_status' || action === 'exec_died');
}
