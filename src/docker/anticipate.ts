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

/** Whether a command in the container has ended, which may have been its HEALTHCHECK. Only Podman tells. */
export function isEndOfCommand({ type, action }: EngineEvent): boolean {
  return type === 'container' && action === 'exec_died';
}

/** Whether the health may be another one in a moment. Docker's events say which, and come after it has changed. */
export function isAboutHealth(event: EngineEvent): boolean {
  return isEndOfCommand(event) || event.action === 'health_status';
}
