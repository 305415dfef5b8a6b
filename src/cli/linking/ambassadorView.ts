/** Prints the report of an ambassador: its routes with their backends, or one route in detail. */
import type {
  AmbassadorReport,
  ReportedBackend,
  ReportedRoute,
} from '../../app/ambassador/ambassadorReport.ts';
import type { Output } from '../../app/process/process.ts';
import { printable } from '../../observability/printable.ts';
import { paint, table } from '../output.ts';

const HEAD = ['ROUTE', 'SERVICE', 'BACKEND', 'STATE', 'CONNECTIONS'];

/** A row for each backend; only the first one repeats the route. */
export function printRoutes(report: AmbassadorReport, isQuiet: boolean, stdout: Output): void {
  if (!isQuiet) {
    const carrier = report.carrier === undefined ? '' : ` (${report.carrier})`;
    stdout.write(`plane   ${report.plane}${carrier}\n`);
    for (const reason of report.reasons)
      stdout.write(`${paint(printable(`not ready: ${reason}`), 'yellow', stdout)}\n`);
    stdout.write(report.routes.length === 0 ? '\nno routes\n' : '\n');
  }
  const rows = report.routes.flatMap(rowsOf);
  if (rows.length > 0) stdout.write(table([HEAD, ...rows], stdout));
}

function rowsOf({ match, target, state, reason, backends }: ReportedRoute): string[][] {
  const none = reason === undefined ? state : `${state}: ${reason}`;
  const lines = backends.map((backend) => [
    backend.address,
    stateOf(backend),
    backend.connections === undefined ? '-' : `${backend.connections}`,
  ]);
  const [first = ['-', none, '-'], ...rest] = lines;
  return [[match, target, ...first], ...rest.map((line) => ['', '', ...line])].map((cells) =>
    cells.map((cell) => printable(cell)),
  );
}

function stateOf({ state, leftSeconds }: ReportedBackend): string {
  return leftSeconds === undefined ? state : `${state} ${leftSeconds}s`;
}

/** The routes that the text names: by where consumers connect, by a container's id or name, or by their service. */
export function routesNamed(report: AmbassadorReport, text: string): readonly ReportedRoute[] {
  const wanted = text.toLowerCase().replace(/\.$/, '');
  const exact = report.routes.filter(({ match }) => match === wanted);
  if (exact.length > 0) return exact;
  return report.routes.filter(
    ({ match, target, origin }) =>
      match.split(' -> ').includes(wanted) ||
      match.startsWith(`${wanted}:`) ||
      target.replace(/:[0-9]+$/, '') === wanted ||
      origin.split(' ').some((word) => word !== '' && word.startsWith(wanted)),
  );
}

export function explainRoute(route: ReportedRoute, stdout: Output): void {
  const { match, target, origin, state, reason, backends } = route;
  const lines = [
    `${paint(printable(match), 'bold', stdout)} leads to ${printable(target)}`,
    `  asked for by ${printable(origin)}`,
    `  ${STATES[state]}${reason === undefined ? '' : printable(`: ${reason}`)}`,
    ...backends.map((backend) => `  ${printable(backendText(backend))}`),
  ];
  stdout.write(`${lines.join('\n')}\n`);
}

const STATES: Readonly<Record<ReportedRoute['state'], string>> = {
  ok: 'new connections go to these backends',
  empty: 'no backend, so connections are refused',
  waits: 'the backends are not known yet',
  yields: 'another route stands',
};

function backendText(backend: ReportedBackend): string {
  const { address, priority, weight, key, connections } = backend;
  return [
    address,
    stateOf(backend),
    `priority ${priority}`,
    `weight ${weight}`,
    ...(connections === undefined ? [] : [`${connections} connections`]),
    ...(key === undefined ? [] : [`from ${key}`]),
  ].join(', ');
}
