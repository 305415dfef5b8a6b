/** Prints a registrar's events as log lines with the container's `id`, the `key` and the `cause`. */
import type { Log } from '../../observability/log.ts';
import type { RegistrarEvent } from '../../registrar/registrarEvents.ts';

type LineLevel = 'info' | 'warn' | 'error';
type LogFields = Readonly<Record<string, unknown>>;

/**
 * The first failure of a retried step is logged at its event's level. Equal failures within this time are logged at
 * level debug.
 */
const REPEAT_EVERY_MS = 60_000;

/** Returns the listener for a registrar's events. */
export function registrarLog(log: Log, monotonicMs: () => number): (event: RegistrarEvent) => void {
  const loggedAtMs = new Map<string, number>();
  const isRepeated = (event: RegistrarEvent, cause: unknown): boolean => {
    const nowMs = monotonicMs();
    const id = `${event.kind} ${cause}`;
    if (nowMs - (loggedAtMs.get(id) ?? Number.NEGATIVE_INFINITY) < REPEAT_EVERY_MS) return true;
    if (loggedAtMs.size > 1_000) loggedAtMs.clear();
    loggedAtMs.set(id, nowMs);
    return false;
  };
  return (event) => {
    const [level, message, fields] = logLineOf(event);
    const isRetry = 'retryInMs' in fields || event.kind === 'inspectFailed';
    const isQuiet = isRetry && isRepeated(event, fields.cause);
    log[isQuiet ? 'debug' : level](fields, message);
  };
}

/** `soradns dockerproxy` also logs these two messages. */
export const SOCKET_MOUNTED =
  "Docker's socket is mounted as a file: the mount breaks when Docker recreates the socket. Mount its directory";
export const SOCKET_REPLACED =
  'Docker recreated its socket, and this mount still holds the old one: exiting so that a restart renews the mount. Mount the directory, not the file';

function logLineOf(event: RegistrarEvent): readonly [LineLevel, string, LogFields] {
  switch (event.kind) {
    case 'wrote':
    case 'would':
      return operationLine(event);
    case 'refused':
      return ['warn', 'refused', refusalFields(event)];
    case 'conflict':
      return ['warn', 'the name is not free', conflictFields(event)];
    case 'engineConnected':
      return ['info', 'following docker', { docker: event.label }];
    case 'engineLost':
      return ['warn', 'docker is unreachable', retryFields(event)];
    case 'engineChanged':
      return ['warn', "Docker's engine id, host name or data folder changed", changeFields(event)];
    case 'socketMounted':
      return ['warn', SOCKET_MOUNTED, { docker: event.label }];
    case 'socketReplaced':
      return ['error', SOCKET_REPLACED, { docker: event.label }];
    case 'found': {
      const { message, hosts, fix } = event.finding;
      return ['warn', message, { hosts, fix }];
    }
    case 'graceExpired':
      return [
        'warn',
        'docker is unreachable beyond the grace period: removing all records',
        { afterMs: event.afterMs },
      ];
    case 'inspectFailed':
      return [
        'warn',
        'cannot inspect the container',
        { id: event.shortId, cause: event.error.message },
      ];
    case 'hostFacts':
      return ['info', 'read the facts of this host', { ...event.hostFacts }];
    case 'store':
      return storeLine(event);
    case 'leaseHeld':
      return ['info', 'the lease is held', { lease: event.leaseId, isAdopted: event.isAdopted }];
    case 'leaseLost':
      return ['warn', 'the lease is lost', { lease: event.leaseId, cause: event.reason }];
    case 'leaseFailed':
      return ['warn', 'cannot obtain a lease', retryFields(event)];
    case 'standby':
      return ['info', 'another registrar of this engine is at work', { holder: event.holder.host }];
    case 'writeFailed':
      return ['warn', 'cannot write records', retryFields(event)];
    case 'closeFailed':
      return ['warn', 'cannot release or revoke the lease', { cause: event.error.message }];
  }
}

type Of<Kind extends RegistrarEvent['kind']> = Extract<RegistrarEvent, { kind: Kind }>;

function operationLine({
  kind,
  operation,
}: Of<'wrote' | 'would'>): readonly [LineLevel, string, LogFields] {
  const { shortId: id, key } = operation;
  if (operation.kind === 'delete')
    return ['info', kind === 'wrote' ? 'removed' : 'would remove', { id, key }];
  const value = Buffer.from(operation.value).toString('utf8');
  return ['info', kind === 'wrote' ? 'registered' : 'would register', { id, key, value }];
}

function storeLine({ event }: Of<'store'>): readonly [LineLevel, string, LogFields] {
  if (event.kind === 'lost') return ['warn', 'the store is unreachable', retryFields(event)];
  const { kind, ...fields } = event;
  return ['info', `the registrar's view of the store is ${kind}`, fields];
}

function changeFields({ from, to }: Of<'engineChanged'>): LogFields {
  return { from: from.id, to: to.id, name: to.name };
}

function refusalFields({ shortId, refusal }: Of<'refused'>): LogFields {
  return { id: shortId, about: refusal.about, cause: refusal.reason };
}

function conflictFields({ shortId, key, reason, hint }: Of<'conflict'>): LogFields {
  const fields = { id: shortId, key, cause: reason };
  return hint === undefined ? fields : { ...fields, hint };
}

function retryFields({ error, retryInMs }: { error: unknown; retryInMs: number }): LogFields {
  return { cause: error instanceof Error ? error.message : String(error), retryInMs };
}
