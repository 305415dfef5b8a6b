/** `soradns query-alias`: aliases of Consul's queries, `ID.query` below the Consul domain. */
import { Failure } from '../../app/process/failure.ts';
import type { Io } from '../../app/process/process.ts';
import type { OptionWords } from '../../config/options/option.ts';
import type { Arguments } from '../../config/settings.ts';
import { printLabel, printName } from '../../dns/name.ts';
import { printable } from '../../observability/printable.ts';
import { tablePrefix } from '../../service/key.ts';
import { type ParsedQueryAlias, parseQueryAlias } from '../../service/queryAlias.ts';
import type { Command } from '../command.ts';
import { jsonLine, table } from '../output.ts';
import { CLIENT_OPTIONS, type StoreAccess, withStore } from '../storeAccess.ts';

const SET_OPTIONS: readonly OptionWords[] = [
  {
    name: 'service',
    form: 'text',
    placeholder: 'NAME',
    describe: 'for set: the service, by its name below --consul-base',
  },
  {
    name: 'tag',
    form: 'text',
    placeholder: 'TAG',
    describe: 'for set: only instances with this tag',
  },
  {
    name: 'then',
    form: 'list',
    placeholder: 'LABEL',
    describe: 'for set: data centre to use if those before it have no instances; repeatable',
  },
];

export const queryAliasCommand: Command = {
  name: 'query-alias',
  summary: 'Store, list and delete aliases of Consul’s queries',
  positionals: [
    {
      name: 'action',
      describe: 'set: store an alias; ls: list all; rm: delete one',
      required: true,
      choices: ['set', 'ls', 'rm'],
    },
    { name: 'id', describe: 'for set and rm: the alias, a label', required: false },
  ],
  options: [...SET_OPTIONS, ...CLIENT_OPTIONS],
  examples: [
    ['soradns query-alias set cache --service redis --tag primary', 'answer cache.query.consul'],
    ['soradns query-alias set cache --service redis --then west', 'or with the instances in west'],
    ['soradns query-alias ls', 'list the aliases'],
    ['soradns query-alias rm cache', 'delete one'],
  ],
  run(args, io) {
    const [action, id] = args.words;
    if (action === 'ls' && id !== undefined)
      throw new Failure('usage', `${id}: unexpected argument`, 'ls lists all aliases');
    if (action !== 'ls' && id === undefined)
      throw new Failure('usage', `${action}: needs an id`, 'for example: cache');
    const given = SET_OPTIONS.find(({ name }) => args.flags[name] !== undefined);
    if (action !== 'set' && given !== undefined)
      throw new Failure('usage', `--${given.name}: is an option of set`, 'remove it');
    return withStore(
      args,
      io,
      (access) => {
        if (id === undefined) return listAliases(args, io, access);
        return action === 'set'
          ? setAlias(id, args, io, access)
          : removeAlias(id, args, io, access);
      },
      { creates: action === 'set' },
    );
  },
};

async function setAlias(
  text: string,
  { flags }: Arguments,
  { stdout }: Io,
  { store, prefix }: StoreAccess,
): Promise<number> {
  const id = text.toLowerCase();
  if (flags.service === undefined)
    throw new Failure('usage', 'set: needs --service', 'for example --service redis');
  const value = JSON.stringify(Object.fromEntries(SET_OPTIONS.map((row) => fieldOf(row, flags))));
  const parsed = parseQueryAlias(id, Buffer.from(value, 'utf8'));
  if (parsed.kind === 'invalid') throw new Failure('usage', explained(parsed.reason, text));
  const key = `${tablePrefix(prefix, 'query')}${id}`;
  await store.put(key, Buffer.from(value, 'utf8'));
  if (flags.json) stdout.write(`${jsonLine({ id, key, ...JSON.parse(value) })}\n`);
  else if (!flags.quiet) stdout.write(`set ${printable(id)}\n`);
  return 0;
}

/** A field of the value has the name of its option. */
function fieldOf(
  { name, form }: OptionWords,
  flags: Arguments['flags'],
): readonly [string, unknown] {
  const given = flags[name];
  if (form !== 'list' || given === undefined) return [name, given];
  const items = (Array.isArray(given) ? given : [given]) as readonly unknown[];
  return [name, items.flatMap((item) => String(item).split(','))];
}

/** A reason begins with the field, which is the option's name. */
function explained(reason: string, id: string): string {
  return /^[a-z]+: /.test(reason) ? `--${reason}` : `${printable(id)}: must be one label`;
}

async function removeAlias(
  text: string,
  { flags }: Arguments,
  { stdout }: Io,
  { store, prefix }: StoreAccess,
): Promise<number> {
  const id = text.toLowerCase();
  const result = await store.delete(`${tablePrefix(prefix, 'query')}${id}`);
  if (!result.done) throw new Failure('not_found', `${printable(id)}: does not exist`);
  if (flags.json) stdout.write(`${jsonLine({ id })}\n`);
  else if (!flags.quiet) stdout.write(`deleted ${printable(id)}\n`);
  return 0;
}

interface StoredAlias {
  readonly id: string;
  readonly parsed: ParsedQueryAlias;
}

async function listAliases(
  { flags }: Arguments,
  { stdout }: Io,
  { store, prefix }: StoreAccess,
): Promise<number> {
  const below = tablePrefix(prefix, 'query');
  const aliases: StoredAlias[] = [];
  for await (const { entries } of store.snapshot(below)) {
    for (const { key, value } of entries) {
      const id = key.slice(below.length);
      aliases.push({ id, parsed: parseQueryAlias(id, value) });
    }
  }
  if (flags.json) for (const alias of aliases) stdout.write(`${jsonLine(viewOf(alias))}\n`);
  else if (flags.quiet) for (const { id } of aliases) stdout.write(`${printable(id)}\n`);
  else if (aliases.length > 0) stdout.write(table([HEAD, ...aliases.map(rowOf)], stdout));
  return 0;
}

const HEAD = ['ID', 'SERVICE', 'TAG', 'THEN'];

function rowOf({ id, parsed }: StoredAlias): readonly string[] {
  if (parsed.kind === 'invalid') return [printable(id), '-', '-', `invalid: ${parsed.reason}`];
  const { service, tag = '-', datacenters } = parsed.alias;
  const then = datacenters.length === 0 ? '-' : datacenters.map(printLabel).join(', ');
  return [printable(id), printName(service).replace(/\.$/, ''), printable(tag), then];
}

function viewOf({ id, parsed }: StoredAlias): object {
  if (parsed.kind === 'invalid') return { id, invalid: parsed.reason };
  const { service, tag, datacenters } = parsed.alias;
  return { id, service: printName(service).replace(/\.$/, ''), tag, datacenters };
}
