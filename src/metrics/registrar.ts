/** What the registrar has done and what it has not. */
import type { RegistrarStatus } from '../docker/status.ts';
import { counters, type Family, gauge, gauges } from '../metrics.ts';

const ROLES = ['starting', 'writing', 'standby', 'dry-run'] as const;
const FINDINGS = ['duplicate', 'overlapping'] as const;

export function registrarFamilies(status: RegistrarStatus): Family[] {
  const { engine, role, findings, counters: counts } = status;
  const { published, pending, conflicts, refusals } = counts;
  const errors = {
    write: counts.writeFailures,
    engine: counts.engineReconnects,
    store: counts.storeFailures,
  };
  return [
    gauge(
      'soradns_registrar_engine_connected',
      'Whether Docker is heard.',
      engine.state === 'connected' ? 1 : 0,
    ),
    gauges(
      'soradns_registrar_role',
      'What this registrar is: one of them is 1.',
      'role',
      ROLES.map((one): [string, number] => [one, one === role ? 1 : 0]),
    ),
    gauges(
      'soradns_registrar_findings',
      'Engines that have the id of this one, and registrars of it that share some of the zones.',
      'kind',
      FINDINGS.map((kind): [string, number] => [kind, countOf(findings, kind)]),
    ),
    gauge('soradns_registrar_containers', 'Containers seen.', counts.containers),
    gauges(
      'soradns_registrar_records',
      'Records of those containers.',
      'state',
      Object.entries({ published, pending, conflict: conflicts, refused: refusals }),
    ),
    counters(
      'soradns_registrar_writes_total',
      'Writes to the store.',
      'kind',
      Object.entries({ put: counts.puts, delete: counts.deletes }),
    ),
    counters(
      'soradns_registrar_errors_total',
      'Failed writes, and losses of the engine and the store.',
      'kind',
      Object.entries(errors),
    ),
  ];
}

function countOf(findings: RegistrarStatus['findings'], kind: (typeof FINDINGS)[number]): number {
  return findings.filter((finding) => finding.kind === kind).length;
}
