/** Whether a container may be published as far as its state and its HEALTHCHECK go. */
import type { Container } from './container.ts';
import type { HealthPolicy } from './context.ts';

/** Why a container in this state is not to be found; `undefined` when it is up. Paused ones answer nobody. */
export function whyNotUp({ state }: Container): string | undefined {
  return state === 'running' ? undefined : `is ${state === 'unknown' ? 'not running' : state}`;
}

/**
 * Why its health keeps it out; `undefined` when it does not. `auto`: a container with a HEALTHCHECK has to have passed
 * it; `require`: and it has to have one; `ignore`: never.
 */
export function whyNotHealthy({ health }: Container, policy: HealthPolicy): string | undefined {
  if (policy === 'ignore' || health === 'healthy') return undefined;
  if (health === 'starting') return 'has not passed its HEALTHCHECK yet';
  if (health === 'unhealthy') return 'is unhealthy';
  return policy === 'require' ? 'has no HEALTHCHECK, and health is required' : undefined;
}
