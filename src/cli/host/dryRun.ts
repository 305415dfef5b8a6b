/** Prints the result of a dry run: for every container, what would be written or why nothing would be. */
import type { Output } from '../../app/process/process.ts';
import { printSocketAddress } from '../../dns/address.ts';
import { printName } from '../../dns/name.ts';
import { printable } from '../../observability/printable.ts';
import type { Operation } from '../../registrar/reconcile/plan.ts';
import type { RegistrarEvent } from '../../registrar/registrarEvents.ts';
import type { ContainerStatus, RecordStatus, RegistrarStatus } from '../../registrar/status.ts';
import { nameOfKey } from '../../service/key.ts';
import { NO_SRV } from '../../service/service.ts';
import { jsonLine, table } from '../output.ts';

/** A line of `--json`. */
interface Step {
  /** `keep`: the store already has the record. */
  readonly action: 'put' | 'delete' | 'keep' | 'wait' | 'refuse' | 'ignore';
  readonly container: { readonly id: string; readonly name: string };
  readonly key?: string;
  readonly name?: string;
  readonly value?: unknown;
  readonly reason?: string;
}

export interface DryRunOptions {
  readonly json: boolean;
  /** Print only what would be written. */
  readonly quiet: boolean;
  readonly context: { readonly prefix: string };
}

export function printDryRun(
  status: RegistrarStatus,
  events: readonly RegistrarEvent[],
  { json, quiet, context }: DryRunOptions,
  output: Output,
): void {
  const operations = events.flatMap((event) => (event.kind === 'would' ? [event.operation] : []));
  const steps = stepsOf(status, operations, context.prefix).filter(
    ({ action }) => !quiet || action === 'put' || action === 'delete',
  );
  if (json) for (const step of steps) output.write(`${jsonLine(step)}\n`);
  else if (steps.length > 0) output.write(table([HEAD, ...steps.map(stepRow)], output));
}

function stepsOf(
  status: RegistrarStatus,
  operations: readonly Operation[],
  prefix: string,
): readonly Step[] {
  const names = new Map(status.containers.map(({ id, name }) => [id, name]));
  const deletes = operations
    .filter(({ kind }) => kind === 'delete')
    .map(({ key, shortId: id }): Step => {
      const container = { id, name: names.get(id) ?? '' };
      return { action: 'delete', container, ...keyAndName(key, prefix) };
    });
  const values = new Map(
    operations.flatMap((operation) =>
      operation.kind === 'put' ? [[operation.key, operation.value] as const] : [],
    ),
  );
  return [
    ...deletes,
    ...status.containers.flatMap((container) => containerSteps(container, values, prefix)),
  ];
}

function containerSteps(
  { id, name, records, refusals, reason }: ContainerStatus,
  values: ReadonlyMap<string, Uint8Array>,
  prefix: string,
): Step[] {
  const container = { id, name };
  return [
    ...records.map((record): Step => {
      const value = values.get(record.key);
      const known = { container, ...keyAndName(record.key, prefix, record.nameKey) };
      if (record.state === 'pending' && value !== undefined)
        return { action: 'put', ...known, value: JSON.parse(Buffer.from(value).toString('utf8')) };
      const why = record.reason === undefined ? {} : { reason: record.reason };
      return { action: ACTION_OF[record.state], ...known, ...why };
    }),
    ...refusals.map((refusal): Step => {
      return { action: 'refuse', container, reason: `${refusal.about} ${refusal.reason}` };
    }),
    ...(reason === undefined
      ? []
      : [{ action: records.length > 0 ? 'wait' : 'ignore', container, reason } as const]),
  ];
}

const ACTION_OF: Record<RecordStatus['state'], Step['action']> = {
  published: 'keep',
  pending: 'wait',
  unchecked: 'wait',
  conflict: 'wait',
  refused: 'refuse',
};

function keyAndName(key: string, prefix: string, nameKey = key): { key: string; name?: string } {
  const read = nameOfKey(nameKey, prefix);
  return { key, ...(read.kind === 'name' ? { name: printName(read.owner) } : {}) };
}

const HEAD = ['ACTION', 'CONTAINER', 'NAME', 'TARGET', 'REASON'];

function stepRow({ action, container, key, name, value, reason }: Step): readonly string[] {
  const who = container.name === '' ? container.id : container.name;
  const what = name ?? key ?? '-';
  const target = value === undefined ? '-' : printTarget(value as { host: string; port?: number });
  return [action, who, what, target, reason ?? '-'].map((cell) => printable(cell));
}

/** The target of a record: `10.0.0.5:8080`, or the host alone. */
export function printTarget({
  host,
  port,
}: {
  readonly host: string;
  readonly port?: number;
}): string {
  const isAlone = port === undefined || port === NO_SRV;
  return isAlone ? host : printSocketAddress({ address: host, port });
}
