/**
 * cli/linking/: The commands that lead programs to services: variables of links, leaders, the ambassador.
 * Imports: ambassador, ambassador/names, app, app/ambassador, app/process, cli, config, config/options, dns,
 *   observability, registrar/describe, registrar/engine, server/listening, service, store, timing, tools/doctor,
 *   tools/doctor/ambassador, tools/integrate, zone, zone/tree.
 * Used by: cli/commands.
 *
 * `soradns links` prints Docker's link variables for services, with addresses that stay true.
 */
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { variablePrefix } from '../../ambassador/linkVariables.ts';
import { Failure } from '../../app/process/failure.ts';
import type { Io } from '../../app/process/process.ts';
import { type OptionWords, wordsOf } from '../../config/options/option.ts';
import type { Arguments, FlagValue } from '../../config/settings.ts';
import { printable } from '../../observability/printable.ts';
import { StoreError } from '../../store/store.ts';
import { makeChange } from '../../tools/integrate/hostFiles.ts';
import type { Command } from '../command.ts';
import { CLIENT_OPTIONS, type StoreAccess, withStore } from '../storeAccess.ts';
import { LINK_ENGINE_OPTIONS, type WantedLink, wantedLinks } from './linkArguments.ts';
import { type LinkResult, type LinkRules, linkTo, VIAS } from './linkedService.ts';
import {
  formatLinks,
  isIdentifier,
  LINK_FORMATS,
  type LinkFormat,
  type PrintedLink,
} from './linkFormats.ts';
import { readNames } from './storedNames.ts';

const text = { form: 'text' } as const;

const OWN_OPTIONS: readonly OptionWords[] = [
  {
    ...text,
    name: 'via',
    placeholder: 'HOW',
    choices: VIAS,
    describe:
      'what the variables lead to. vip: the virtual address of the name; direct: an instance of now; name: the name itself',
    defaultText: 'vip where the name has a virtual address, else direct',
  },
  {
    ...text,
    name: 'format',
    placeholder: 'FORM',
    choices: LINK_FORMATS,
    describe: 'env: NAME=value lines; docker: options of docker run; sh: export commands; json',
    defaultText: 'env',
  },
  {
    ...text,
    name: 'wait',
    placeholder: 'SECONDS',
    describe: 'wait at most this long until every name has an instance',
    defaultText: '0',
  },
  {
    ...text,
    name: 'env',
    placeholder: 'PREFIX',
    describe:
      'also set ALIAS_ENV_* from texts KEY=VALUE of the service whose key begins so; --env= takes all',
    defaultText: 'none',
  },
  {
    name: 'safe',
    form: 'switch',
    describe: 'replace octets in the names of variables that no shell takes by _',
    defaultText: 'true',
  },
  {
    ...text,
    name: 'write',
    placeholder: 'FILE',
    describe: 'replace the file, for docker run --env-file, and print nothing',
  },
  // Node.js reads this option before the program does, and exits if the file does not exist.
  { ...text, name: 'env-file', describe: 'is an option of Node.js', hidden: true },
  {
    ...text,
    name: 'container',
    placeholder: 'ID',
    describe: 'also take the links of a container’s labels dns.link.ALIAS=NAME',
  },
];

export const linksCommand: Command = {
  name: 'links',
  summary: 'Print Docker’s link variables for services on any host',
  positionals: [
    {
      name: 'link',
      describe: 'ALIAS=NAME: what docker run --link would call the service, and its name',
      required: false,
      many: true,
    },
  ],
  options: [...OWN_OPTIONS, ...wordsOf(LINK_ENGINE_OPTIONS), ...CLIENT_OPTIONS],
  examples: [
    ['soradns links db=db.skydns.local', 'print DB_PORT_5432_TCP_ADDR and the others'],
    [
      'docker run $(soradns links --format docker db=db.skydns.local) IMAGE',
      'start a container with them, and with the host name db',
    ],
    [
      'soradns links --write /run/soradns/app.env db=db.skydns.local cache=redis.skydns.local',
      'write them for docker run --env-file',
    ],
    ['eval "$(soradns links --format sh --wait 30 db=db.skydns.local)"', 'set them in a shell'],
    ['soradns links --container web', 'take the links from the labels of a container'],
  ],
  note: `The variables are those of docker run --link, except that DB_NAME is the name of the service. Ports are
those that the containers expose, so a service set by hand has the port of its record.`,
  async run(args, io) {
    const request = readRequest(args);
    const links = await wantedLinks(args, request.spelling, io);
    refuseUnreadable(links, request);
    return withStore(args, io, (access) => printLinks(links, request, access, io));
  },
};

interface Request extends LinkRules {
  readonly format: LinkFormat;
  readonly waitMs: number;
  /** Where to write; undefined: to the output. */
  readonly file: string | undefined;
  readonly isQuiet: boolean;
}

function readRequest({ flags }: Arguments): Request {
  const format = choiceOf(LINK_FORMATS, flags.format, '--format');
  if (flags.json && format !== undefined && format !== 'json')
    throw new Failure('usage', `--json: cannot be combined with --format ${format}`);
  if (flags['env-file'] !== undefined)
    throw new Failure('usage', '--env-file: Node.js takes this option itself', 'use --write FILE');
  const file = textOf(flags.write, '--write');
  const chosen = format ?? (flags.json ? 'json' : 'env');
  if (file !== undefined && chosen !== 'env')
    throw new Failure('usage', `--write: cannot be combined with --format ${chosen}`);
  return {
    via: choiceOf(VIAS, flags.via, '--via'),
    format: chosen,
    waitMs: 1000 * secondsOf(flags.wait),
    pairPrefix: flags.env === '' ? '' : textOf(flags.env, '--env'),
    spelling: flags.safe === false ? 'docker' : 'safe',
    file,
    isQuiet: flags.quiet === true,
  };
}

function choiceOf<T extends string>(
  choices: readonly T[],
  flag: FlagValue | undefined,
  option: string,
): T | undefined {
  const value = textOf(flag, option);
  const found = choices.find((choice) => choice === value);
  if (value !== undefined && found === undefined)
    throw new Failure('usage', `${option}: ${value} is not one of ${choices.join(', ')}`);
  return found;
}

function textOf(flag: FlagValue | undefined, option: string): string | undefined {
  if (flag === undefined || (typeof flag === 'string' && flag !== '')) return flag;
  throw new Failure('usage', `${option}: give one value`);
}

const MAX_WAIT_SECONDS = 86_400;

function secondsOf(flag: FlagValue | undefined): number {
  if (flag === undefined) return 0;
  const seconds = typeof flag === 'string' && /^[0-9]{1,5}$/.test(flag) ? Number(flag) : -1;
  if (seconds >= 0 && seconds <= MAX_WAIT_SECONDS) return seconds;
  const problem = `--wait: must be whole seconds from 0 to ${MAX_WAIT_SECONDS}`;
  throw new Failure('usage', problem, 'for example --wait 30');
}

/** With --safe=false an alias may make variables that a shell cannot set. */
function refuseUnreadable(links: readonly WantedLink[], { format, spelling }: Request): void {
  if (format !== 'sh') return;
  for (const { alias } of links) {
    const prefix = variablePrefix(alias, spelling);
    if (isIdentifier(prefix)) continue;
    const problem = `${alias}: a shell takes no variable ${prefix}_PORT`;
    throw new Failure('usage', problem, 'remove --safe=false');
  }
}

async function printLinks(
  links: readonly WantedLink[],
  request: Request,
  access: StoreAccess,
  io: Io,
): Promise<number> {
  const linked = await whenAllThere(links, request, access, io);
  refuseShared(linked.map(({ link }) => link));
  const formatted = formatLinks(
    linked.map(({ link }) => link),
    request.format,
  );
  const notes = linked.flatMap((each) => each.notes);
  if (formatted.leftOut.length > 0) notes.push(leftOutNote(formatted.leftOut, request.format));
  if (!request.isQuiet)
    for (const note of notes) io.stderr.write(`soradns: note: ${printable(note)}\n`);
  if (request.file === undefined) io.stdout.write(formatted.text);
  else makeChange('/', { path: resolve(request.file), before: undefined, after: formatted.text });
  return 0;
}

type Linked = Extract<LinkResult, { kind: 'linked' }>;

const LOOK_EVERY_MS = 250;

/** The links, once every name has an instance. Throws a `Failure` that lists every name without one. */
async function whenAllThere(
  links: readonly WantedLink[],
  request: Request,
  access: StoreAccess,
  io: Io,
): Promise<readonly Linked[]> {
  const untilMs = performance.now() + request.waitMs;
  for (;;) {
    const results = await resultsNow(links, request, access, io).catch((error: unknown) => {
      // A store that starts together with this host may be late too.
      if (!isUnavailable(error) || performance.now() >= untilMs) throw error;
      return [];
    });
    const linked = results.flatMap((result) => (result.kind === 'linked' ? [result] : []));
    if (linked.length === links.length) return linked;
    const leftMs = untilMs - performance.now();
    if (leftMs <= 0 && results.length > 0) throw missingFailure(results);
    await sleep(Math.max(0, Math.min(LOOK_EVERY_MS, leftMs)));
  }
}

async function resultsNow(
  links: readonly WantedLink[],
  request: Request,
  access: StoreAccess,
  io: Io,
): Promise<readonly LinkResult[]> {
  const names = links.map(({ name }) => name);
  const view = await readNames(names, access, io);
  return links.map((link) => linkTo(view, link, request));
}

function isUnavailable(error: unknown): boolean {
  return error instanceof StoreError && error.code === 'unavailable';
}

function missingFailure(results: readonly LinkResult[]): Failure {
  const reasons = results.flatMap((result) => (result.kind === 'missing' ? [result.reason] : []));
  return new Failure(
    'not_found',
    [...new Set(reasons)].join('; '),
    'list the names: soradns ls; --wait waits for them',
  );
}

/** An alias such as `db_port` may have variables of the alias `db`. */
function refuseShared(links: readonly PrintedLink[]): void {
  const owners = new Map<string, string>();
  for (const { alias, variables } of links)
    for (const { name } of variables) {
      const other = owners.get(name);
      if (other !== undefined)
        throw new Failure('usage', `${other} and ${alias}: both aliases have the variable ${name}`);
      owners.set(name, alias);
    }
}

const MAX_LISTED = 8;

function leftOutNote(names: readonly string[], format: LinkFormat): string {
  const listed = names.slice(0, MAX_LISTED).join(', ');
  const more = names.length > MAX_LISTED ? ` and ${names.length - MAX_LISTED} more` : '';
  return `--format ${format} cannot carry ${listed}${more}: left out; --format json has ${names.length === 1 ? 'it' : 'them'}`;
}
