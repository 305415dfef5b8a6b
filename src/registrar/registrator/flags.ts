/**
 * Parses registrator's command line, `registrator [flags] skydns2://HOST:PORT/DOMAIN`, in the syntax of Go's flag
 * package: one dash or two, `-name value` or `-name=value`, and no argument after the URI.
 */
import { addressFamily } from '../../dns/address.ts';
import { type Name, parseName } from '../../dns/name.ts';
import type { HealthPolicy } from '../describe/container.ts';
import type { Mode } from '../describe/context.ts';
import { parseTags } from '../describe/fields.ts';

/** The values of registrator's flags and URI. A field that `RegistrarSettings` also has is called the same. */
export interface RegistratorOptions {
  /** In the form of `--store`: `etcd://10.0.0.1:2379`. */
  readonly store: string;
  readonly domain: Name;
  readonly ip: string | undefined;
  readonly mode: Mode;
  readonly exposedByDefault: boolean;
  readonly ipLabel: string | undefined;
  readonly tags: readonly string[];
  /** `-ttl`, the TTL of the lease; `undefined` for 0, which means soradns's default. */
  readonly leaseTtlSeconds: number | undefined;
  readonly keepaliveSeconds: number | undefined;
  /** `-resync`; undefined for 0. */
  readonly reconcileSeconds: number | undefined;
  /** Always `ignore`: registrator ignores health. */
  readonly health: HealthPolicy;
}

export type RegistratorCommand =
  | {
      readonly kind: 'options';
      readonly options: RegistratorOptions;
      /** One line for each accepted flag that has no effect. */
      readonly notes: readonly string[];
    }
  | { readonly kind: 'version' | 'help' }
  /** One line each: the mistake and its fix. */
  | { readonly kind: 'mistakes'; readonly mistakes: readonly string[] };

/** The value of a `switch` may only follow `=`; the value of any other form may also be the next word. */
export type FlagForm = 'text' | 'switch' | 'seconds' | 'number';

/** By name, without a dash. */
export const REGISTRATOR_FLAGS: ReadonlyMap<string, FlagForm> = new Map([
  ['ip', 'text'],
  ['internal', 'switch'],
  ['explicit', 'switch'],
  ['useIpFromLabel', 'text'],
  ['tags', 'text'],
  ['ttl', 'seconds'],
  ['ttl-refresh', 'seconds'],
  ['resync', 'seconds'],
  ['cleanup', 'switch'],
  ['deregister', 'text'],
  ['retry-attempts', 'number'],
  ['retry-interval', 'number'],
]);

/** The flags of a command line, and the words after them. */
interface Flags {
  readonly values: ReadonlyMap<string, string>;
  readonly rest: readonly string[];
  readonly mistakes: string[];
}

/** `args` does not contain the program's name. */
export function parseRegistratorFlags(args: readonly string[]): RegistratorCommand {
  if (args.length === 1 && /^--?version$/.test(args[0] as string)) return { kind: 'version' };
  const flags = readFlags(args);
  if (flags === 'help') return { kind: 'help' };
  const { values, mistakes } = flags;
  const backend = readUri(flags.rest, mistakes);
  checkTtls(values, mistakes);
  if (mistakes.length > 0 || backend === undefined) return { kind: 'mistakes', mistakes };
  const seconds = (name: string) => Number(values.get(name) ?? 0) || undefined;
  const options: RegistratorOptions = {
    ...backend,
    ip: values.get('ip') || undefined,
    mode: isOn(values.get('internal')) ? 'internal' : 'published',
    exposedByDefault: !isOn(values.get('explicit')),
    ipLabel: values.get('useIpFromLabel') || undefined,
    tags: parseTags(values.get('tags') ?? ''),
    leaseTtlSeconds: seconds('ttl'),
    keepaliveSeconds: seconds('ttl-refresh'),
    reconcileSeconds: seconds('resync'),
    health: 'ignore',
  };
  return { kind: 'options', options, notes: notesOn(values) };
}

/** Reads flags up to the first argument that is not a flag, as Go's flag package does. */
function readFlags(args: readonly string[]): Flags | 'help' {
  const values = new Map<string, string>();
  const mistakes: string[] = [];
  let at = 0;
  while (at < args.length) {
    const arg = args[at] as string;
    if (!/^-./.test(arg)) break;
    at++;
    if (arg === '--') break;
    const [, name = '', given] = /^--?([^=]*)(?:=(.*))?$/s.exec(arg) ?? [];
    if (name === 'h' || name === 'help') return 'help';
    const form = REGISTRATOR_FLAGS.get(name);
    if (form === undefined) {
      mistakes.push(`${JSON.stringify(arg)} is not a flag of registrator's`);
      continue;
    }
    const value = given ?? (form === 'switch' ? 'true' : args[at++]);
    if (value === undefined) mistakes.push(`-${name} needs a value`);
    else {
      values.set(name, value);
      mistakes.push(...mistakesIn(name, form, value));
    }
  }
  return { values, rest: args.slice(at), mistakes };
}

/** The values that Go's strconv.ParseBool accepts. */
const SWITCH = /^(?:1|t|T|TRUE|true|True|0|f|F|FALSE|false|False)$/;

function mistakesIn(name: string, form: FlagForm, value: string): string[] {
  const wrong = (expected: string) => [`-${name}: ${JSON.stringify(value)} is not ${expected}`];
  if (form === 'switch' && !SWITCH.test(value)) return wrong('true or false');
  if (form === 'seconds' && !/^[0-9]{1,9}$/.test(value)) return wrong('a whole number of seconds');
  if (form === 'number' && !/^-?[0-9]{1,9}$/.test(value)) return wrong('a whole number');
  if (name === 'ip' && value !== '' && addressFamily(value) === 0) return wrong('an IP address');
  if (name === 'deregister' && value !== 'always' && value !== 'on-success')
    return wrong('always or on-success');
  if (name === 'tags' && value.includes('{{'))
    return [`-tags: templates are not supported; write the tags themselves`];
  return [];
}

function checkTtls(values: ReadonlyMap<string, string>, mistakes: string[]): void {
  const [ttl, refresh] = [values.get('ttl') ?? '0', values.get('ttl-refresh') ?? '0'].map(Number);
  if (ttl === undefined || refresh === undefined) return;
  if ((ttl === 0) !== (refresh === 0)) mistakes.push('-ttl and -ttl-refresh go together');
  else if (ttl !== 0 && ttl <= refresh) mistakes.push('-ttl must be greater than -ttl-refresh');
}

function readUri(
  rest: readonly string[],
  mistakes: string[],
): Pick<RegistratorOptions, 'store' | 'domain'> | undefined {
  const [uri, ...behind] = rest;
  const form = 'skydns2://HOST:PORT/DOMAIN';
  if (behind.length > 0) {
    mistakes.push(
      `${behind.map((word) => JSON.stringify(word)).join(' ')}: flags go before the URI`,
    );
  }
  if (uri === undefined) {
    mistakes.push(`no URI; write ${form}`);
    return undefined;
  }
  const [, scheme, host = '', path = ''] = /^([a-z0-9-]+):\/\/([^/]*)\/?(.*)$/s.exec(uri) ?? [];
  if (scheme !== 'skydns2') {
    mistakes.push(`${JSON.stringify(uri)}: only skydns2 is supported; write ${form}`);
    return undefined;
  }
  const domain = readDomain(path);
  const endpoint = readEndpoint(host);
  if (domain === undefined) mistakes.push(`${JSON.stringify(uri)} has no domain; write ${form}`);
  if (endpoint === undefined) mistakes.push(`${JSON.stringify(uri)} has no host; write ${form}`);
  if (domain === undefined || endpoint === undefined) return undefined;
  return { store: `etcd://${endpoint}`, domain };
}

function readDomain(path: string): Name | undefined {
  const text = path.replace(/\/$/, '').toLowerCase();
  const name = /^[a-z0-9_.-]+$/.test(text) ? parseName(text) : undefined;
  return name === undefined || name.length === 0 ? undefined : name;
}

/** Without an endpoint the URI means etcd on this machine. */
function readEndpoint(host: string): string | undefined {
  if (host === '') return '127.0.0.1:2379';
  const [, name, port = '2379'] =
    /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?$/.exec(host) ?? [];
  return name === undefined || Number(port) < 1 || Number(port) > 65_535
    ? undefined
    : `${name}:${port}`;
}

function notesOn(values: ReadonlyMap<string, string>): string[] {
  const notes: string[] = [];
  const note = (name: string, why: string) => {
    if (values.has(name)) notes.push(`-${name} has no effect: ${why}`);
  };
  note('cleanup', 'records of ended containers are always removed');
  note('retry-attempts', 'the store is retried without a limit');
  note('retry-interval', 'the registrar chooses the interval of retries');
  if (values.get('deregister') === 'on-success')
    note('deregister', 'the records of an ended container are always removed');
  return notes;
}

function isOn(text: string | undefined): boolean {
  return text !== undefined && /^[1tT]/.test(text);
}
