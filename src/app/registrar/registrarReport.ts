/** The report that a running registrar serves over HTTP, and the client that fetches it. */
import type { RecordStatus, RegistrarStatus, VirtualState } from '../../registrar/status.ts';
import { Failure } from '../process/failure.ts';
import { fetchPage } from '../process/fetchPage.ts';

export const REPORT_PATH = '/v1/registrar/status';

export interface RegistrarReport extends RegistrarStatus {
  /** The prefix of the store's keys, as `keyPrefix` returns it. */
  readonly prefix: string;
  readonly readiness: { readonly isReady: boolean; readonly reasons: readonly string[] };
}

/** What became of a name's wish for a virtual address: `auto` or an address; undefined if nothing is known of it. */
export type VirtualStates = (name: string, vip: string) => VirtualState | undefined;

/** The report with the virtual addresses of the names that the records ask for. */
export function withVirtualStates(
  report: RegistrarReport,
  stateOf: VirtualStates,
): RegistrarReport {
  const explained = (record: RecordStatus): RecordStatus => {
    const { vip, vipName } = record.linking ?? {};
    const virtual = vip === undefined || vipName === undefined ? undefined : stateOf(vipName, vip);
    return virtual === undefined ? record : { ...record, virtual };
  };
  const containers = report.containers.map((container) => {
    return { ...container, records: container.records.map(explained) };
  });
  return { ...report, containers };
}

/** The default URLs of the reports of `serve --register` and `register`. */
export const DEFAULT_REGISTRARS = ['http://127.0.0.1:4001', 'http://127.0.0.1:4002'];

/** Fetches the report from the first URL that has one. Throws a `Failure` if no URL has a report. */
export async function fetchReport(urls: readonly string[]): Promise<RegistrarReport> {
  const problems: string[] = [];
  for (const url of urls) {
    const page = await fetchPage(url, REPORT_PATH, '--register');
    if (page.kind === 'page' && isReport(page.value))
      return { ...page.value, findings: asFindings(page.value.findings) };
    const problem = page.kind === 'none' ? page.problem : "the answer is not a registrar's";
    problems.push(`${url}: ${problem}`);
  }
  const hint = 'start one with: soradns register, or soradns serve --register; see --registrar';
  throw new Failure('unreachable', `no registrar answers (${problems.join('; ')})`, hint);
}

/** The report of an older registrar has no findings. */
function asFindings(value: unknown): RegistrarReport['findings'] {
  return Array.isArray(value) ? value : [];
}

function isReport(value: unknown): value is RegistrarReport {
  const { containers, readiness, engine, prefix } = (value ?? {}) as Partial<RegistrarReport>;
  return (
    Array.isArray(containers) &&
    Array.isArray(readiness?.reasons) &&
    typeof engine === 'object' &&
    typeof prefix === 'string'
  );
}
