import type { Log } from '../log.ts';
import { EXIT_CODES } from './failure.ts';

/** An exception that escaped everything leaves unknown state behind: say so and let a supervisor start us afresh. */
export function guard(log: Log): void {
  const die = (err: unknown): void => {
    log.error({ err }, 'a fault that nobody caught; ending');
    log.close();
    process.exit(EXIT_CODES.broken);
  };
  process.on('uncaughtException', die);
  process.on('unhandledRejection', die);
}
