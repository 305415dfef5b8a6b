import type { ReadFile } from '../config/settings.ts';

/** The process around a command. */
export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly readFile: ReadFile;
  /** Where the embedded store lies by default. */
  readonly stateDirectory: string;
  /** Aborted by SIGINT and SIGTERM, with the signal's name as reason, for a command that asked by `handleSignals`. */
  readonly stop: AbortSignal;
  /** From now on the first signal aborts `stop` instead of ending the process. */
  handleSignals(): void;
  /** From now on SIGHUP calls `reload` instead of ending the process. */
  onReload(reload: () => void): void;
  /** From now on output that nobody can read does not end the process. */
  outliveReaders(): void;
}

export interface Output {
  readonly isTty: boolean;
  readonly colour: boolean;
  write(text: string): void;
}
