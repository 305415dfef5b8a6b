/** `soradns integrate`: configures this host's resolver or Docker to use the server, and undoes that. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { Failure, type FailureCode } from '../../app/process/failure.ts';
import { type HostNetwork, networkOf } from '../../app/process/network.ts';
import type { Io } from '../../app/process/process.ts';
import type { Config } from '../../config/config.ts';
import type { Arguments } from '../../config/settings.ts';
import {
  DNS_PORT,
  printSocketAddress,
  reachableAddress,
  type SocketAddress,
} from '../../dns/address.ts';
import { isLoopback } from '../../forward/addresses.ts';
import { printable } from '../../observability/printable.ts';
import type { LocatedServer } from '../../tools/doctor/host.ts';
import { makeChange, readHostFile } from '../../tools/integrate/hostFiles.ts';
import {
  type FileChange,
  type IntegrationPlan,
  printChange,
  TARGET_NAMES,
  type TargetName,
} from '../../tools/integrate/plan.ts';
import { type DnsRoute, TARGETS } from '../../tools/integrate/target.ts';
import { type Command, OUTPUT_OPTIONS } from '../command.ts';
import { jsonLine } from '../output.ts';
import { configOf, SERVER_OPTIONS, shownOnly } from '../serverConfig.ts';

export const integrateCommand: Command = {
  name: 'integrate',
  summary: 'Configure this host’s resolver or Docker to use soradns',
  positionals: [
    {
      name: 'target',
      describe: 'program to configure',
      required: true,
      choices: TARGET_NAMES,
    },
  ],
  options: [
    { name: 'undo', form: 'switch', describe: 'restore the previous configuration' },
    { name: 'dry-run', form: 'switch', describe: 'print the changes without making them' },
    { name: 'reload', form: 'switch', describe: 'make the program read its configuration again' },
    ...shownOnly(['config', 'addr', 'domain'], SERVER_OPTIONS),
    {
      name: 'root',
      form: 'text',
      placeholder: 'DIR',
      describe: 'change the files below DIR, for example of an image',
      defaultText: '/',
    },
    ...OUTPUT_OPTIONS,
  ],
  examples: [
    ['soradns integrate systemd-resolved --dry-run', 'print what would change'],
    ['sudo soradns integrate systemd-resolved --reload', 'resolve skydns.local on this host'],
    [
      'sudo soradns integrate dnsmasq --addr 127.0.0.1:5300',
      'make a dnsmasq on port 53 query the server on port 5300',
    ],
    ['sudo soradns integrate docker', 'make --dns unnecessary for containers'],
    ['sudo soradns integrate docker --undo', 'restore the previous configuration'],
  ],
  note: `It takes all options, variables and the config file of serve, to find the server; without --addr it
looks on port 53. If another program wrote the file, it changes nothing (exit code 5); in
daemon.json it only adds the address.`,
  async run(args, io) {
    const target = args.words[0] as TargetName;
    const root = typeof args.flags.root === 'string' ? args.flags.root : '/';
    if (args.flags.reload && root !== '/')
      throw new Failure('usage', '--reload: works on this host only', 'remove --root');
    const plan = await planFor(target, root, args, io);
    if (!args.flags['dry-run']) writeChanges(plan.changes, root);
    const mustReload = args.flags.reload === true && !args.flags['dry-run'];
    if (mustReload && plan.changes.length > 0) reload(target);
    printResult(target, { ...plan, changes: plan.changes.map(at(root)) }, args, io);
    return 0;
  },
};

type FilePlan = Extract<IntegrationPlan, { kind: 'plan' }>;

const CODES: Readonly<Record<Extract<IntegrationPlan, { kind: 'refused' }>['why'], FailureCode>> = {
  foreign: 'conflict',
  unreadable: 'bad_data',
  unfit: 'usage',
};

async function planFor(
  target: TargetName,
  root: string,
  { flags }: Arguments,
  io: Io,
): Promise<FilePlan> {
  const { config } = configOf(flags, io);
  const read = (path: string) => guarded(join(root, path), () => readHostFile(root, path));
  const network = networkOf(config, io);
  // --undo works without a server.
  const where = flags.undo ? ({ config, by: 'given' } as const) : await locate(config, network);
  const server = await serverFor(target, where.config.addr, network);
  const route: DnsRoute = { server, domains: config.domains };
  const plan = TARGETS[target][flags.undo ? 'undo' : 'plan'](route, read);
  const rooted = (text: string) => withRoot(text, root);
  if (plan.kind === 'plan')
    return { ...plan, notes: [...whereNotes(where, server), ...plan.notes.map(rooted)] };
  throw new Failure(CODES[plan.why], rooted(plan.problem), rooted(plan.fix));
}

/** Loads clients of DNS and Docker. */
async function locate(config: Config, network: HostNetwork): Promise<LocatedServer> {
  const { locateServer } = await import('../../tools/doctor/host.ts');
  return locateServer(config, network);
}

/** The text with its paths below the root. */
function withRoot(text: string, root: string): string {
  return text.replace(/(?<=^|\s)\/etc\//g, () => join(root, '/etc/'));
}

/** The server's address that fits the target: Docker's containers can use port 53 only. */
async function serverFor(
  target: TargetName,
  addr: readonly SocketAddress[],
  network: HostNetwork,
): Promise<SocketAddress> {
  const [first] = addr as readonly [SocketAddress, ...SocketAddress[]];
  if (target !== 'docker') return reachableAddress(first);
  const usable = addr.filter(({ port }) => port === DNS_PORT);
  const server = usable.find(({ address }) => !isLoopback(address)) ?? usable[0] ?? first;
  const isWildcard = server.address === '0.0.0.0' || server.address === '::';
  if (!isWildcard) return server;
  return { address: (await network.bridgeAddress()) ?? '172.17.0.1', port: server.port };
}

function whereNotes({ by }: LocatedServer, server: SocketAddress): readonly string[] {
  if (by === 'given') return [];
  const where = printSocketAddress(server);
  return by === 'found'
    ? [`found the server at ${where}`]
    : [`found no server on this host; using ${where}, since --addr is not set`];
}

/** The change with the file's path on this host. */
function at(root: string): (change: FileChange) => FileChange {
  return (change) => ({ ...change, path: join(root, change.path) });
}

function writeChanges(changes: readonly FileChange[], root: string): void {
  for (const change of changes) guarded(join(root, change.path), () => makeChange(root, change));
}

/** `file`: named in the failure if the system's error does not name one, such as that of a full disk. */
function guarded<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const { code = 'failed', path = file } = error as NodeJS.ErrnoException;
    const isDenied = code === 'EACCES' || code === 'EPERM';
    const hint = isDenied ? 'run it with sudo' : undefined;
    throw new Failure(isDenied ? 'not_permitted' : 'failure', `${path}: ${code}`, hint);
  }
}

function reload(target: TargetName): void {
  const [program, ...words] = TARGETS[target].reload;
  try {
    execFileSync(program, words, { stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' });
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    const reason = (stderr || message).trim().split('\n')[0] ?? '';
    throw new Failure(
      'failure',
      `${[program, ...words].join(' ')}: ${reason}`,
      'the files have been written',
    );
  }
}

function printResult(
  target: TargetName,
  { changes, notes }: FilePlan,
  { flags }: Arguments,
  io: Io,
): void {
  const { reload: line, caution } = TARGETS[target];
  const isDry = flags['dry-run'] === true;
  const mustReload = changes.length > 0 && flags.reload !== true;
  const command = ['sudo', ...line].join(' ');
  if (flags.json) {
    const done = changes.map((change) => ({ path: change.path, action: actionOf(change) }));
    const report = { changes: done, dryRun: isDry, notes, ...(mustReload && { reload: command }) };
    io.stdout.write(`${jsonLine(report)}\n`);
    return;
  }
  const lines = changes.map((change) =>
    isDry ? printChange(change) : `${PAST[actionOf(change)]} ${change.path}`,
  );
  if (changes.length === 0) lines.push(flags.undo ? 'nothing to undo' : 'already configured');
  if (!flags.quiet) {
    lines.push(...notes.map((note) => `note: ${note}`));
    if (mustReload) lines.push(`${isDry ? 'then' : 'now'}: ${command}`);
    if (mustReload && caution !== undefined) lines.push(`note: ${caution}`);
  }
  io.stdout.write(lines.map((line) => `${line.split('\n').map(printable).join('\n')}\n`).join(''));
}

type Action = 'remove' | 'write';
const PAST: Readonly<Record<Action, string>> = { remove: 'removed', write: 'wrote' };

function actionOf({ after }: FileChange): Action {
  return after === undefined ? 'remove' : 'write';
}
