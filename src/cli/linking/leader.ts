/** `soradns leader`: prints which instance leads a service, chooses it, and follows it. */
import { constants } from 'node:os';
import {
  type ChoiceResult,
  chooseInstance,
  clearChoice,
} from '../../ambassador/names/chooseInstance.ts';
import { findService } from '../../ambassador/names/serviceState.ts';
import { Failure } from '../../app/process/failure.ts';
import { type Io, untilAborted } from '../../app/process/process.ts';
import type { OptionWords } from '../../config/options/option.ts';
import type { Arguments } from '../../config/settings.ts';
import { type Name, parseName, printName } from '../../dns/name.ts';
import { printable } from '../../observability/printable.ts';
import { keysOfName, ownerOf } from '../../registrar/describe/storedValue.ts';
import type { LeadingRule, ListedInstance, ServiceState } from '../../service/instances.ts';
import { keyOfName } from '../../service/key.ts';
import { StoreError } from '../../store/store.ts';
import type { Command } from '../command.ts';
import { jsonLine, paint, printAge } from '../output.ts';
import { CLIENT_OPTIONS, type StoreAccess, withStore } from '../storeAccess.ts';
import { readNames, serviceNameOf } from './storedNames.ts';

const OWN_OPTIONS: readonly OptionWords[] = [
  {
    name: 'if',
    form: 'text',
    placeholder: 'INSTANCE',
    describe:
      'for set and clear: fail (exit code 5) unless this instance was chosen before; none: no one was',
  },
  { name: 'force', form: 'switch', describe: 'for set: choose an instance that is not there' },
];

export const leaderCommand: Command = {
  name: 'leader',
  summary: 'Show, choose or follow the instance that leads a service',
  positionals: [
    {
      name: 'action',
      describe:
        'get: print it; set: choose it; clear: take the choice back; watch: print it at each change, until interrupted',
      required: true,
      choices: ['get', 'set', 'clear', 'watch'],
    },
    { name: 'name', describe: 'name of the service, without leader.', required: true },
    { name: 'instance', describe: 'for set: name of the instance', required: false },
  ],
  options: [...OWN_OPTIONS, ...CLIENT_OPTIONS],
  examples: [
    [
      'soradns leader get mysql.skydns.local',
      'print the instance that leader.mysql.skydns.local is',
    ],
    [
      'soradns leader set mysql.skydns.local 2.mysql.skydns.local',
      'choose among instances with DNS_LEADER=manual',
    ],
    [
      'soradns leader set mysql.skydns.local 1.mysql.skydns.local --if 2.mysql.skydns.local',
      'only if no one else has chosen meanwhile',
    ],
    ['soradns leader clear mysql.skydns.local', 'take the choice back'],
    ['soradns leader watch mysql.skydns.local --json', 'print a JSON object at each change'],
  ],
  note: `The leader is the oldest instance, the oldest of those with DNS_LEADER=yes, or the chosen one of those with
DNS_LEADER=manual; without a choice none of the latter leads. It is an order that all servers agree on, not a
lock: a server that has lost the store may name the former leader until it is back.`,
  run(args, io) {
    const [action, text = '', instance] = args.words;
    const name = serviceNameOf(text);
    if (action !== 'set' && instance !== undefined)
      throw new Failure('usage', `${instance}: unexpected argument`, `use set ${text} ${instance}`);
    switch (action) {
      case 'get':
        return withStore(args, io, (access) => printLeader(name, args, access, io));
      case 'set':
        return withStore(args, io, (access) => setLeader(name, instance, args, access, io));
      case 'clear':
        return withStore(args, io, (access) => clearLeader(name, args, access, io));
      default:
        io.handleSignals();
        return withStore(args, io, (access) => watchLeader(name, args, access, io));
    }
  },
};

async function printLeader(
  name: Name,
  { flags }: Arguments,
  access: StoreAccess,
  io: Io,
): Promise<number> {
  const { state } = findService(await readNames([name], access, io), name);
  const { leader } = state;
  if (leader === undefined) throw absenceOf(name, state);
  const sinceMs = await startOf(leader, access);
  if (flags.json) {
    const since = sinceMs === undefined ? {} : { since: new Date(sinceMs).toISOString() };
    io.stdout.write(`${jsonLine({ ...viewOf(name, state), ...since })}\n`);
  } else if (flags.quiet) io.stdout.write(`${leader.id}\n`);
  else io.stdout.write(`${describeLeader(state, sinceMs)}\n`);
  return 0;
}

function absenceOf(name: Name, { exists, instances }: ServiceState): Failure {
  const text = printName(name);
  if (!exists) return new Failure('not_found', `${text} does not exist`);
  const isManual = instances.some(({ leader }) => leader === 'manual');
  const hint = isManual ? `choose one: soradns leader set ${text} INSTANCE` : undefined;
  return new Failure('not_found', `${text} has no leader`, hint);
}

/** When the container of the instance started, as its registrar wrote it; undefined for an instance set by hand. */
async function startOf(
  { id }: ListedInstance,
  { store, prefix }: StoreAccess,
): Promise<number | undefined> {
  const key = keyOfName(parseName(id) ?? [], prefix);
  for (const each of key === undefined ? [] : keysOfName(key)) {
    const { entry } = await store.get(each);
    const startedMs = entry && Date.parse(ownerOf(entry.value)?.startedAt ?? '');
    if (startedMs !== undefined && !Number.isNaN(startedMs)) return startedMs;
  }
  return undefined;
}

/** The fields of `--json`. */
function viewOf(name: Name, { leader, rule }: ServiceState): object {
  return { name: printName(name), leader: leader ?? null, ...(rule === undefined ? {} : { rule }) };
}

function describeLeader({ leader, rule }: ServiceState, sinceMs?: number): string {
  if (leader === undefined || rule === undefined) return 'no leader';
  const since = sinceMs === undefined ? '' : `, since ${printAge(Date.now() - sinceMs)}`;
  return printable(`${leader.id} ${leader.addr} (${WORDS[rule]}${since})`);
}

const WORDS: Readonly<Record<LeadingRule, string>> = {
  oldest: 'oldest',
  manual: 'chosen',
  label: 'oldest with DNS_LEADER=yes',
  registered: 'registered by that name',
};

async function setLeader(
  name: Name,
  text: string | undefined,
  { flags }: Arguments,
  access: StoreAccess,
  io: Io,
): Promise<number> {
  if (text === undefined)
    throw new Failure('usage', 'set: needs an instance', 'see soradns ls for their names');
  const instance = serviceNameOf(text);
  const { state } = findService(await readNames([name], access, io), name);
  if (!flags.force) refuseUnknown(name, instance, state);
  const expected = expectedOf(flags.if);
  const wish = { name, instance, ...(expected === undefined ? {} : { expected }) };
  const result = await chooseInstance(access.store, access.prefix, wish);
  if (result.kind !== 'chosen') throw unchanged(name, result);
  if (flags.json)
    io.stdout.write(`${jsonLine({ name: printName(name), instance: printName(instance) })}\n`);
  else if (!flags.quiet)
    io.stdout.write(`chose ${printName(instance)} to lead ${printName(name)}\n`);
  const note = flags.quiet ? undefined : whyWithoutEffect(name, instance, state);
  if (note !== undefined) io.stderr.write(`soradns: note: ${printable(note)}\n`);
  return 0;
}

async function clearLeader(
  name: Name,
  { flags }: Arguments,
  { store, prefix }: StoreAccess,
  { stdout }: Io,
): Promise<number> {
  const expected = expectedOf(flags.if);
  const wish = { name, ...(expected === undefined ? {} : { expected }) };
  const result = await clearChoice(store, prefix, wish);
  const text = printName(name);
  if (result.kind === 'absent')
    throw new Failure('not_found', `${text}: no instance is chosen, so there is nothing to clear`);
  if (result.kind !== 'cleared') throw unchanged(name, result);
  if (flags.json) stdout.write(`${jsonLine({ name: text, instance: null })}\n`);
  else if (!flags.quiet) stdout.write(`cleared the choice for ${text}\n`);
  return 0;
}

function unchanged(name: Name, result: Exclude<ChoiceResult, { kind: 'chosen' }>): Failure {
  const text = printName(name);
  if (result.kind === 'unstorable') return new Failure('usage', `${text}: cannot be stored`);
  const current = result.current === undefined ? 'no instance' : printName(result.current);
  const problem = `${text}: ${current} is chosen, and nothing was changed`;
  return new Failure('conflict', problem, 'see soradns leader get, and choose again');
}

const MAX_LISTED = 8;

function refuseUnknown(name: Name, instance: Name, { instances }: ServiceState): void {
  if (instances.some(({ id }) => id === printName(instance))) return;
  const ids = [...new Set(instances.map(({ id }) => id))];
  const listed = ids.slice(0, MAX_LISTED).join(', ');
  const hint = ids.length === 0 ? 'it has none' : `there are ${listed}; --force chooses it anyway`;
  const problem = `${printName(instance)} is not an instance of ${printName(name)}`;
  throw new Failure('not_found', problem, hint);
}

function expectedOf(flag: Arguments['flags'][string] | undefined): Name | 'none' | undefined {
  if (flag === undefined || flag === 'none') return flag;
  if (typeof flag === 'string') return serviceNameOf(flag);
  throw new Failure('usage', '--if: give one value');
}

function whyWithoutEffect(
  name: Name,
  instance: Name,
  { instances }: ServiceState,
): string | undefined {
  const own = instances.find(({ id }) => id === printName(instance));
  if (own?.leader === 'never')
    return `${printName(instance)} says DNS_LEADER=never and does not lead`;
  if (instances.some(({ leader }) => leader === 'manual')) return undefined;
  return `no instance of ${printName(name)} says DNS_LEADER=manual, so the choice has no effect yet`;
}

async function watchLeader(
  name: Name,
  { flags }: Arguments,
  access: StoreAccess,
  io: Io,
): Promise<number> {
  // This call fails without a store; the command waits when the store is lost later.
  await access.store.get(keyOfName(name, access.prefix) ?? access.prefix.slice(0, -1));
  let printed: string | undefined;
  const { followName } = await import('./followedName.ts');
  const stopFollowing = await followName(name, access, io, {
    onState(state) {
      const line = flags.json ? jsonLine(viewOf(name, state)) : describeLeader(state);
      if (line === printed) return;
      printed = line;
      io.stdout.write(`${line}\n`);
    },
    onLost({ error, failuresInARow }) {
      if (failuresInARow > 1 || flags.quiet) return;
      const reason = error instanceof StoreError ? error.message : String(error);
      io.stderr.write(`${paint('soradns:', 'yellow', io.stderr)} ${printable(reason)}; retrying\n`);
    },
  });
  await untilAborted(io.stop);
  stopFollowing();
  return 128 + constants.signals[io.stop.reason as 'SIGINT' | 'SIGTERM'];
}
