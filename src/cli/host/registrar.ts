/** `soradns registrar`: prints how a running registrar treats each container. Reads its report over HTTP. */
import { Failure } from '../../app/process/failure.ts';
import type { Io, Output } from '../../app/process/process.ts';
import {
  DEFAULT_REGISTRARS,
  fetchReport,
  type RegistrarReport,
} from '../../app/registrar/registrarReport.ts';
import type { Arguments } from '../../config/settings.ts';
import { printName } from '../../dns/name.ts';
import { printable } from '../../observability/printable.ts';
import { printPort } from '../../registrar/describe/container.ts';
import { printFinding } from '../../registrar/finding.ts';
import type { ContainerLink } from '../../registrar/links/links.ts';
import type { ContainerStatus, RecordStatus, VirtualState } from '../../registrar/status.ts';
import { nameOfKey } from '../../service/key.ts';
import { type Command, OUTPUT_OPTIONS } from '../command.ts';
import { jsonLine, paint, table } from '../output.ts';
import { printTarget } from './dryRun.ts';

export const registrarCommand: Command = {
  name: 'registrar',
  summary: 'Show which containers are registered, and why others are not',
  positionals: [
    {
      name: 'action',
      describe: 'status: all containers; explain: one container in detail',
      required: true,
      choices: ['status', 'explain'],
    },
    {
      name: 'container',
      describe: 'for explain: the container’s name or the start of its id',
      required: false,
    },
  ],
  options: [
    {
      name: 'registrar',
      form: 'text',
      placeholder: 'URL',
      describe:
        '--http address of soradns serve --register or soradns register (SORADNS_REGISTRAR)',
      defaultText: DEFAULT_REGISTRARS.join(', then '),
    },
    ...OUTPUT_OPTIONS,
  ],
  examples: [
    ['soradns registrar status', 'list each container with its records, or the reason for none'],
    ['soradns registrar explain web', 'explain why the container web is in DNS, or is not'],
    ['soradns registrar status --json', 'print the whole report, for scripts'],
  ],
  async run(args, io) {
    const [action, wanted] = args.words;
    if (action === 'explain' && wanted === undefined)
      throw new Failure('usage', 'explain: needs a container', 'give its name or id');
    if (action === 'status' && wanted !== undefined)
      throw new Failure('usage', `${wanted}: unexpected argument`, `use explain ${wanted}`);
    const report = await fetchReport(registrarUrls(args, io));
    return wanted === undefined
      ? printStatus(report, args, io)
      : printExplanation(report, wanted, args, io);
  },
};

function registrarUrls({ flags }: Arguments, { env }: Io): readonly string[] {
  const given = flags.registrar ?? (env.SORADNS_REGISTRAR || undefined);
  if (given === undefined) return DEFAULT_REGISTRARS;
  if (typeof given === 'string' && /^https?:\/\/./.test(given) && URL.canParse(given))
    return [given];
  const problem = `--registrar: ${JSON.stringify(given)} is not a URL`;
  throw new Failure('usage', problem, 'for example --registrar http://127.0.0.1:4002');
}

function printStatus(report: RegistrarReport, { flags }: Arguments, { stdout }: Io): number {
  if (flags.json) {
    stdout.write(`${jsonLine(report)}\n`);
    return 0;
  }
  if (!flags.quiet) stdout.write(`${heading(report, stdout)}\n`);
  const rows = report.containers.flatMap((container) => rowsOf(container, report.prefix));
  if (rows.length > 0) stdout.write(table([HEAD, ...rows], stdout));
  return 0;
}

function heading(report: RegistrarReport, out: Output): string {
  const { engine, store, readiness, findings } = report;
  const lines = [
    `docker  ${engine.label} (${engine.state})`,
    `store   ${store.label} (${store.state})`,
    `role    ${roleOf(report)}`,
  ].map((line) => printable(line));
  const warnings = [
    ...readiness.reasons.map((reason) => `not ready: ${reason}`),
    ...findings.map((finding) => `warning: ${printFinding(finding)}`),
  ].map((line) => paint(printable(line), 'yellow', out));
  return [...lines, ...warnings, ''].join('\n');
}

function roleOf({ role, holder }: Pick<RegistrarReport, 'role' | 'holder'>): string {
  return holder === undefined ? role : `${role} for ${holder}`;
}

const HEAD = ['CONTAINER', 'NAME', 'STATE', 'RECORD', 'TARGET', 'IN DNS'];

/** A row for each record, each refusal and the reason; only the first one repeats the container. */
function rowsOf(container: ContainerStatus, prefix: string): readonly (readonly string[])[] {
  const { id, name, state, reason } = container;
  const lines = [
    ...container.records.map((record) => [
      recordName(record, prefix),
      printTarget(record),
      verdictOf(record),
    ]),
    ...container.refusals.map(({ about, reason }) => ['-', '-', `refused: ${about} ${reason}`]),
    ...(reason === undefined ? [] : [['-', '-', `no: ${reason}`]]),
  ];
  const [first = ['-', '-', 'no'], ...rest] = lines;
  return [[id, name, state, ...first], ...rest.map((line) => ['', '', '', ...line])].map((cells) =>
    cells.map((cell) => printable(cell)),
  );
}

function recordName({ key, nameKey = key }: RecordStatus, prefix: string): string {
  const read = nameOfKey(nameKey, prefix);
  return read.kind === 'name' ? printName(read.owner) : nameKey;
}

function verdictOf({ state, reason }: RecordStatus): string {
  if (state === 'published') return 'yes';
  if (reason === undefined) return state;
  return state === 'pending' ? reason : `${state}: ${reason}`;
}

function printExplanation(
  report: RegistrarReport,
  wanted: string,
  { flags }: Arguments,
  { stdout }: Io,
): number {
  const container = findContainer(report, wanted);
  if (flags.json) stdout.write(`${jsonLine(container)}\n`);
  else
    stdout.write(
      `${explanation(container, report)
        .map((line) => printable(line))
        .join('\n')}\n`,
    );
  return 0;
}

function findContainer({ containers }: RegistrarReport, wanted: string): ContainerStatus {
  const name = wanted.replace(/^\//, '');
  const named = containers.filter((container) => container.name === name);
  // Docker prints 12 digits of an id, or all 64.
  const isId = /^[0-9a-f]+$/.test(name);
  const found =
    named.length > 0 || !isId
      ? named
      : containers.filter(({ id }) => id.startsWith(name.slice(0, 12)));
  const [container, other] = found;
  if (container === undefined) {
    const hint = 'is it running? compare docker ps with soradns registrar status';
    throw new Failure('not_found', `${wanted}: the registrar has no such container`, hint);
  }
  if (other !== undefined)
    throw new Failure('usage', `${wanted}: several containers match`, 'give more digits of the id');
  return container;
}

function explanation(container: ContainerStatus, report: RegistrarReport): readonly string[] {
  const { id, name, state, records, refusals, reason, hints, links = [], linksReason } = container;
  const published = records.filter((record) => record.state === 'published').length;
  const lines = [`${name} (${id}) is ${state}; ${published} of ${records.length} records in DNS`];
  for (const record of records) {
    const words = `${recordName(record, report.prefix)} -> ${printTarget(record)}`;
    lines.push(`  ${words}  ${stateOf(record)}`);
    lines.push(`    key ${record.key}`);
    lines.push(...linkingLines(record).map((line) => `    ${line}`));
  }
  for (const link of links) lines.push(`  ${printLink(link)}`);
  if (linksReason !== undefined) lines.push(`  no links yet: it ${linksReason}`);
  for (const { about, reason } of refusals) lines.push(`  refused: ${about} ${reason}`);
  if (reason !== undefined)
    lines.push(`  ${records.length > 0 ? 'not complete' : 'no records'}: it ${reason}`);
  for (const hint of hints) lines.push(`  hint: ${hint}`);
  if (report.holder !== undefined)
    lines.push(`  this registrar is ${roleOf(report)}, whose registrar writes the records`);
  for (const problem of report.readiness.reasons)
    lines.push(`  the registrar is not ready: ${problem}`);
  for (const finding of report.findings) lines.push(`  warning: ${printFinding(finding)}`);
  return lines;
}

/** How other containers reach the record's container besides its name. */
function linkingLines({ linking, virtual }: RecordStatus): readonly string[] {
  const { tags = [], vip, vipName, vipPort, expose, leader, proxyProtocol } = linking ?? {};
  const port = vipPort ?? expose;
  const at = port === undefined ? '' : ` at port ${port}`;
  return [
    ...(vip === 'none' ? ['asks for no virtual address'] : []),
    ...(vip === undefined || vip === 'none'
      ? []
      : [`virtual address ${vip} of ${vipName}${at}${printVirtual(virtual)}`]),
    ...(tags.length === 0 ? [] : [`tags ${tags.join(', ')}`]),
    ...(leader === undefined ? [] : [`leader ${leader}`]),
    ...(proxyProtocol === true ? ['its connections begin with the PROXY protocol'] : []),
  ];
}

function printVirtual({ address, reason }: VirtualState = {}): string {
  if (reason !== undefined) return `, refused: ${reason}`;
  return address === undefined ? '' : `: ${address}`;
}

function printLink(link: ContainerLink): string {
  const { target, source } = link;
  if (link.kind === 'alias') return `alias ${link.alias} -> ${target} (${source})`;
  const local = link.isLocal ? ', also at 127.0.0.1' : '';
  return `link ${printPort(link.port)} -> ${target} (${source})${local}`;
}

function stateOf({ state, reason }: RecordStatus): string {
  if (reason === undefined) return WORDS[state];
  // On a standby the reason says which registrar decides.
  return state === 'pending' ? reason : `${WORDS[state]}: ${reason}`;
}

const WORDS: Record<RecordStatus['state'], string> = {
  published: 'in DNS',
  pending: 'waits to be written',
  conflict: 'not in DNS',
  unchecked: 'not in DNS',
  refused: 'the store refuses it',
};
