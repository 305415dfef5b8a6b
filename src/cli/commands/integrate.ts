/** `soradns integrate`: has the resolver of this host, or its Docker, ask the server; and takes that back. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { Failure, type FailureCode } from '../../app/process/failure.ts';
import { type HostNetwork, networkOf } from '../../app/process/network.ts';
import type { Io } from '../../app/process/process.ts';
import type { Arguments } from '../../config/settings.ts';
import {
  DNS_PORT,
  printSocketAddress,
  reachableAddress,
  type SocketAddress,
} from '../../dns/address.ts';
import { isLoopback } from '../../forward/addresses.ts';
import { printable } from '../../observability/printable.ts';
import { type LocatedServer, locateServer } from '../../tools/doctor/host.ts';
import { makeChange, readHostFile } from '../../tools/integrate/hostFiles.ts';
import { type FileChange, type IntegrationPlan, printChange } from '../../tools/integrate/plan.ts';
import {
  type DnsRoute,
  TARGET_NAMES,
  TARGETS,
  type TargetName,
} from '../../tools/integrate/target.ts';
import { type Command, OUTPUT_OPTIONS } from '../command.ts';
import { jsonLine } from '../output.ts';
import { configOf, SERVER_OPTIONS, shownOnly } from '../serverConfig.ts';

export const integrateCommand: Command = {
  name: 'integrate',
  summary: 'Have this host’s resolver, or its Docker, ask the server',
  positionals: [
    {
      name: 'target',
      describe: 'whose configuration to change',
      required: true,
      choices: TARGET_NAMES,
    },
  ],
  options: [
    { name: 'undo', form: 'switch', describe: 'take back what was done' },
    { name: 'dry-run', form: 'switch', describe: 'only show what would change' },
    { name: 'reload', form: 'switch', describe: 'make the program read its files again' },
    ...shownOnly(['config', 'addr', 'domain'], SERVER_OPTIONS),
    {
      name: 'root',
      form: 'text',
      placeholder: 'DIR',
      describe: 'change the files below DIR, as of an image',
      defaultText: '/',
    },
    ...OUTPUT_OPTIONS,
  ],
  examples: [
    ['soradns integrate systemd-resolved --dry-run', 'what would change'],
    ['sudo soradns integrate systemd-resolved --reload', 'skydns.local is found on this host'],
    ['sudo soradns integrate dnsmasq --addr 127.0.0.1:5300', 'beside a dnsmasq that has port 53'],
    ['sudo soradns integrate docker', 'containers need no --dns any more'],
    ['sudo soradns integrate docker --undo', 'as it was before'],
  ],
  note: `It takes all options of serve, its variables and config file, to know where the server is;
without --addr it looks for it on port 53. Files of others are never replaced: exit code 5.`,
  async run(args, io) {
    const target = args.words[0] as TargetName;
    const root = typeof args.flags.root === 'string' ? args.flags.root : '/';
    if (args.flags.reload && root !== '/')
      throw new Failure('usage', '--reload: is about this host', 'leave out --root');
    const plan = await planFor(target, root, args, io);
    if (!args.flags['dry-run']) carryOut(plan.changes, root);
    const mustReload = args.flags.reload === true && !args.flags['dry-run'];
    if (mustReload && plan.changes.length > 0) reload(target);
    print(target, { ...plan, changes: plan.changes.map(at(root)) }, args, io);
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
  const read = (path: string) => guarded(() => readHostFile(root, path));
  const network = networkOf(config, io);
  // To undo, nobody has to be there.
  const where = flags.undo
    ? ({ config, by: 'said' } as const)
    : await locateServer(config, network);
  const server = await serverFor(target, where.config.addr, network);
  const asking: DnsRoute = { server, domains: config.domains };
  const plan = TARGETS[target][flags.undo ? 'undo' : 'plan'](asking, read);
  const rooted = (text: string) => withRoot(text, root);
  if (plan.kind === 'plan')
    return { ...plan, notes: [...whereNotes(where, server), ...plan.notes.map(rooted)] };
  throw new Failure(CODES[plan.why], rooted(plan.problem), rooted(plan.fix));
}

/** With the paths that stand as words in it where they really are. */
function withRoot(text: string, root: string): string {
  return text.replace(/(?<=^|\s)\/etc\//g, () => join(root, '/etc/'));
}

/** Of the server's addresses that which the target can use, if there is one: Docker's containers know only port 53. */
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
  if (by === 'said') return [];
  const where = printSocketAddress(server);
  return by === 'found'
    ? [`the server was found at ${where}`]
    : [`no server was found on this host; ${where} is taken, as --addr says no other`];
}

/** The change as people see it, of the file that is really meant. */
function at(root: string): (change: FileChange) => FileChange {
  return (change) => ({ ...change, path: join(root, change.path) });
}

function carryOut(changes: readonly FileChange[], root: string): void {
  for (const change of changes) guarded(() => makeChange(root, change));
}

function guarded<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    const { code = 'failed', path = '' } = error as NodeJS.ErrnoException;
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
      'the files are written',
    );
  }
}

function print(
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
  if (changes.length === 0)
    lines.push(flags.undo ? 'there is nothing to undo' : 'all is as it should be');
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
