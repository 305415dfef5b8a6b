/**
 * The changes that an event makes before the next inspection. Only a change that ends a container's records takes
 * effect at once; a change that could bring it into DNS waits for the inspection. PURE.
 */
import type { EngineEvent, Inspection } from '../engine/engine.ts';

/** The inspection with the event applied; the same object when the event ends no records. */
export function applyEvent(inspection: Inspection, event: EngineEvent): Inspection {
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

/**
 * Whether the event may end the container's records. If so, an inspection that was requested earlier may not be used.
 */
export function mayEndRecords(event: EngineEvent): boolean {
  const inspection: Inspection = { Id: event.containerId };
  return applyEvent(inspection, event) !== inspection;
}

/** Whether the event ended a life of the container. */
export function isDeath({ type, action }: EngineEvent): boolean {
  return type === 'container' && (action === 'die' || action === 'died');
}

export function isStart({ type, action }: EngineEvent): boolean {
  return type === 'container' && action === 'start';
}

/**
 * Whether the container's health may change shortly after the event. Podman's events carry no verdict, and `exec_died`
 * may end a HEALTHCHECK. Docker's events carry the verdict and come after the change.
 */
export function isAboutHealth({ type, action }: EngineEvent): boolean {
  return type === 'container' && (action === 'health_status' || action === 'exec_died');
}
