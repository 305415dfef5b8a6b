/** `soradns set`: stores a service under a name. */
import { Failure } from '../../app/process/failure.ts';
import type { Io } from '../../app/process/process.ts';
import type { OptionWords } from '../../config/options/option.ts';
import type { Arguments } from '../../config/settings.ts';
import { printable } from '../../observability/printable.ts';
import { configKey, nameOfKey } from '../../service/key.ts';
import { NEARNESSES, parseService } from '../../service/service.ts';
import type { PutOptions } from '../../store/store.ts';
import type { Command } from '../command.ts';
import { viewEntry } from '../entryView.ts';
import { refuseToHide, warnUnserved } from '../nameChecks.ts';
import { jsonLine } from '../output.ts';
import { CLIENT_OPTIONS, keyOfArgument, type StoreAccess, withStore } from '../storeAccess.ts';

const text = { form: 'text' } as const;

/** The fields of a service, with their names in its JSON. */
const FIELDS: readonly OptionWords[] = [
  { ...text, name: 'host', placeholder: 'HOST', describe: 'IP address or host name' },
  { ...text, name: 'port', placeholder: 'PORT', describe: 'port in SRV records; -1 for none' },
  {
    ...text,
    name: 'priority',
    placeholder: 'NUMBER',
    describe: 'priority of SRV, preference of MX records',
  },
  {
    ...text,
    name: 'weight',
    placeholder: 'NUMBER',
    describe: 'weight among services of one priority',
  },
  { ...text, name: 'text', placeholder: 'TEXT', describe: 'text of the TXT record' },
  { ...text, name: 'ttl', placeholder: 'SECONDS', describe: 'TTL of the records' },
  {
    ...text,
    name: 'group',
    placeholder: 'GROUP',
    describe: 'group of the service: an answer leaves out services of other groups',
  },
  {
    ...text,
    name: 'targetstrip',
    placeholder: 'LABELS',
    describe: 'number of labels to strip from the SRV target',
  },
  { name: 'mail', form: 'switch', describe: 'also answer MX queries' },
  {
    name: 'rr',
    form: 'list',
    placeholder: 'RECORD',
    describe: 'record of any type, as its type and data in the text of a zone file; repeatable',
  },
  {
    name: 'alias',
    form: 'switch',
    describe: 'if the host is a name, answer with its addresses instead of a CNAME',
  },
  {
    name: 'aggregate',
    form: 'switch',
    describe: 'also answer for the names above it; --no-aggregate for its own name only',
  },
  {
    ...text,
    name: 'near',
    placeholder: 'HOW',
    choices: NEARNESSES,
    describe:
      'how servers on its host answer for its names: with it like the others (off), first (first) or alone (only)',
  },
];

const OWN_OPTIONS: readonly OptionWords[] = [
  { ...text, name: 'key-ttl', placeholder: 'SECONDS', describe: 'delete the key after this time' },
  {
    ...text,
    name: 'value',
    placeholder: 'JSON',
    describe: 'the whole service as JSON, instead of the fields',
  },
  { name: 'if-absent', form: 'switch', describe: 'fail (exit code 5) if the key exists' },
  {
    name: 'force',
    form: 'switch',
    describe: 'set it even if it hides a name above it or is hidden by one below',
  },
];

export const setCommand: Command = {
  name: 'set',
  summary: 'Store a service under a name',
  positionals: [
    { name: 'name', describe: 'domain name, or a key if it begins with /', required: true },
  ],
  options: [...FIELDS, ...OWN_OPTIONS, ...CLIENT_OPTIONS],
  examples: [
    ['soradns set 1.rails.skydns.local --host 10.0.1.5 --port 8080', 'store an instance of rails'],
    ['soradns set www.skydns.local --host www.example.com --ttl 60', 'store an alias'],
    [
      `soradns set www.skydns.local --host 10.0.1.7 --rr 'CAA 0 issue "ca.example"'`,
      'store an address and a CAA record',
    ],
    ['soradns set 2.rails.skydns.local --host 10.0.1.6 --key-ttl 30', 'delete it after 30 s'],
    [
      `soradns set /skydns/local/skydns/db --value '{"host":"10.0.1.9"}'`,
      'store a value under a key',
    ],
  ],
  run: (args, io) =>
    withStore(args, io, (access) => storeService(args, io, access), { creates: true }),
};

async function storeService(args: Arguments, io: Io, access: StoreAccess): Promise<number> {
  const { store, prefix } = access;
  const key = keyOfArgument(args.words[0] ?? '', prefix);
  const owner = nameOfKey(key, prefix);
  if (owner.kind === 'invalid') throw new Failure('usage', `${key}: the key ${owner.reason}`);
  const value = Buffer.from(jsonToStore(args.flags), 'utf8');
  if (!args.flags.force) await refuseToHide(key, value, access, io);
  const result = await store.put(key, value, putOptions(args.flags));
  if (!result.done) {
    throw new Failure('conflict', `${key}: already exists`, 'remove --if-absent to replace it');
  }
  report(args, io, viewEntry(result.entry, prefix, performance.now()) ?? { key }, key);
  const isName = owner.kind === 'name' && key !== configKey(prefix);
  if (isName && !args.flags.quiet) await warnUnserved(owner.owner, access, io);
  return 0;
}

function report({ flags }: Arguments, { stdout }: Io, view: object, key: string): void {
  if (flags.json) stdout.write(`${jsonLine(view)}\n`);
  else if (!flags.quiet) stdout.write(`set ${printable(key)}\n`);
}

/** The JSON to store: `--value`, or the given fields. */
function jsonToStore(flags: Arguments['flags']): string {
  const given = FIELDS.filter(({ name }) => flags[name] !== undefined);
  if (typeof flags.value === 'string') {
    if (given.length > 0) {
      const both = `--value: cannot be combined with --${given[0]?.name}`;
      throw new Failure('usage', both, 'write the field into the JSON');
    }
    const parsed = parseService(Buffer.from(flags.value, 'utf8'));
    if (parsed.kind === 'invalid') throw new Failure('bad_data', `--value: ${parsed.reason}`);
    return flags.value;
  }
  if (given.length === 0) {
    throw new Failure('usage', 'nothing to store', 'give --host, --text or another field');
  }
  return serviceJson(flags);
}

function serviceJson(flags: Arguments['flags']): string {
  const fields: Record<string, unknown> = {};
  for (const { name, form, choices } of FIELDS) {
    const raw = flags[name];
    if (raw === undefined) continue;
    if (form === 'list') {
      fields[name] = Array.isArray(raw) ? raw : [raw];
      continue;
    }
    if (Array.isArray(raw)) throw new Failure('usage', `--${name}: is given more than once`);
    // From --host "$IP" with IP unset, for example.
    if (raw === '') throw new Failure('usage', `--${name}: is empty`, 'give a value, or remove it');
    // Servers take an unknown word for none, so a typing error would have no effect.
    if (choices?.some((choice) => choice === raw) === false) {
      throw new Failure(
        'usage',
        `--${name}: ${printable(String(raw))} is not one of ${choices.join(', ')}`,
      );
    }
    const isText = name === 'host' || name === 'text' || name === 'group';
    const isNumber = typeof raw === 'string' && !isText && /^-?[0-9]{1,15}$/.test(raw);
    fields[name] = isNumber ? Number(raw) : raw;
  }
  const json = JSON.stringify(fields);
  const parsed = parseService(Buffer.from(json, 'utf8'));
  // The reason begins with the field, which is the option's name.
  if (parsed.kind === 'invalid') throw new Failure('usage', `--${parsed.reason}`);
  return json;
}

function putOptions(flags: Arguments['flags']): PutOptions {
  const raw = flags['key-ttl'];
  const ttlSeconds = raw === undefined ? undefined : Number(raw);
  if (ttlSeconds !== undefined && !(/^[0-9]{1,15}$/.test(String(raw)) && ttlSeconds >= 1)) {
    throw new Failure(
      'usage',
      '--key-ttl: must be whole seconds, 1 or more',
      'for example --key-ttl 30',
    );
  }
  return { ttlSeconds, if: flags['if-absent'] ? { kind: 'absent' } : undefined };
}
