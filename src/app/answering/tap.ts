/** Opens the tap of `--dnstap`, and logs what an operator should know about its reader. */
import type { Config } from '../../config/config.ts';
import { printSocketAddress } from '../../dns/address.ts';
import { Dnstap, type TapCounters, type TapEvent } from '../../dnstap/dnstap.ts';
import type { TapTarget } from '../../dnstap/tapConnection.ts';
import type { FaultLog } from '../../observability/faultLog.ts';
import type { Log } from '../../observability/log.ts';
import { counters, type Family } from '../../observability/metrics.ts';
import { systemClock } from '../../timing/clock.ts';
import { apexOf, type ZoneSettings } from '../../zone/tree/view.ts';
import { version } from '../process/process.ts';
import { serverIdentity } from './clientPolicy.ts';
import { workerCount } from './udp.ts';

interface TapSources {
  readonly settings: () => ZoneSettings;
  readonly log: Log;
  readonly faults: FaultLog;
}

/** Undefined without `--dnstap`. */
export function openTap(
  config: Pick<Config, 'tapTarget' | 'tapKinds' | 'tapSample' | 'workers' | 'identity'>,
  { settings, log, faults }: TapSources,
): Dnstap | undefined {
  const { tapTarget: target, tapKinds: kinds, tapSample: sample } = config;
  if (target === undefined) return undefined;
  const tap = new Dnstap({
    ...{ target, kinds, sample },
    identity: serverIdentity(config),
    version: `soradns ${version()}`,
    workers: workerCount(config),
    isOurs: (name) => apexOf(settings(), name) !== undefined,
    clock: systemClock,
    random: Math.random,
    onEvent: (event) => logEvent(event, printTarget(target), log),
    onError: (error) => faults.report(error, 'a message for dnstap could not be written'),
  });
  tap.open();
  return tap;
}

function logEvent(event: TapEvent, reader: string, log: Log): void {
  switch (event.kind) {
    case 'connected':
      log.info({ reader, dropped: event.dropped }, 'dnstap: connected to the reader');
      return;
    case 'disconnected':
      log.warn(
        { reader, reason: event.text },
        'dnstap: no reader; its messages are dropped until it is back',
      );
      return;
    case 'slow':
      log.warn(
        { reader, dropped: event.dropped },
        'dnstap: the reader is too slow; messages were dropped',
      );
  }
}

function printTarget(target: TapTarget): string {
  return target.kind === 'unix' ? `unix:${target.path}` : `tcp://${printSocketAddress(target)}`;
}

export function tapFamily({ written, dropped }: TapCounters): Family {
  const help = 'Messages for dnstap: those that went to the reader, and those that were dropped.';
  return counters('soradns_dnstap_total', help, 'result', Object.entries({ written, dropped }));
}
