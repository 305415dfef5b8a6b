/** Every metric that there is, from whatever of its sources there are. */

import type { TableFigures } from '../dataplane/table/table.ts';
import type { RegistrarStatus } from '../docker/status.ts';
import type { ForwardCounters } from '../forward/forwardCounters.ts';
import type { Family } from '../metrics.ts';
import { type DnsSources, dnsFamilies } from './dns.ts';
import { forwardFamilies } from './forward.ts';
import { type ProcessFigures, processFamilies } from './process.ts';
import { registrarFamilies } from './registrar.ts';
import { type StoreSources, storeFamilies } from './store.ts';
import { tableFamilies } from './table.ts';

export interface MetricsSources {
  readonly process: ProcessFigures;
  readonly dns?: DnsSources | undefined;
  readonly table?: TableFigures | undefined;
  readonly store?: StoreSources | undefined;
  readonly forward?: Readonly<ForwardCounters> | undefined;
  readonly registrar?: RegistrarStatus | undefined;
}

export function allFamilies(sources: MetricsSources): Family[] {
  const { process, dns, table, store, forward, registrar } = sources;
  return [
    ...processFamilies(process),
    ...(dns === undefined ? [] : dnsFamilies(dns)),
    ...(table === undefined ? [] : tableFamilies(table)),
    ...(store === undefined ? [] : storeFamilies(store)),
    ...(forward === undefined ? [] : forwardFamilies(forward)),
    ...(registrar === undefined ? [] : registrarFamilies(registrar)),
  ];
}
