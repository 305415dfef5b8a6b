/** How long-running commands end. */

/** Resolves when the signal is aborted. */
export function stopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

const LINGER_MS = 5_000;

/**
 * How long a registrar still serves deaths: a Docker daemon that stops ends us, by SIGTERM, and all others together.
 * Whoever presses ^C does not wait for that.
 */
export function lingerMsAfter(signalName: unknown): number {
  return signalName === 'SIGTERM' ? LINGER_MS : 0;
}

/** How long a server still answers although it says that it is not ready; ^C is from somebody who waits. */
export function lameDuckMsAfter(signalName: unknown, seconds: number): number {
  return signalName === 'SIGTERM' ? seconds * 1000 : 0;
}
