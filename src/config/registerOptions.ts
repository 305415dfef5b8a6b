/**
 * The rows of the registrar's options. `soradns register` has them by these names, and `soradns serve --register` with
 * `register-` in front (`--register-ip`), so that no option of the two can be taken for one of the other.
 */
import { addressFamily } from '../dns/address.ts';
import type { Name } from '../dns/name.ts';
import { type Option, option } from './option.ts';
import { SERVE_OPTIONS } from './serveOptions.ts';
import type { Rows } from './settings.ts';
import {
  listOf,
  oneOf,
  parseDomain,
  parsedBy,
  plainText,
  switchValue,
  wholeNumber,
} from './values.ts';

const seconds = { form: 'text', placeholder: 'SECONDS' } as const;

export const REGISTRAR_OPTIONS = {
  dockerHost: option<string | undefined>({
    name: 'docker-host',
    form: 'text',
    placeholder: 'URL',
    describe: 'the engine to follow: unix:///PATH or tcp://HOST:PORT',
    schema: plainText,
    fallback: undefined,
    defaultText: 'as for docker: DOCKER_HOST, context, local socket',
    expects: 'an address of an engine',
    example: 'unix:///var/run/docker.sock',
  }),
  zones: option<readonly Name[] | undefined>({
    name: 'zone',
    form: 'list',
    placeholder: 'NAME',
    describe: 'domain in which containers may have names; repeatable',
    schema: listOf(parsedBy(parseDomain)),
    fallback: undefined,
    defaultText: 'skydns.local.',
    expects: 'a domain name',
    example: 'skydns.local.',
    env: ['SORADNS_DOMAIN', 'SKYDNS_DOMAIN'],
  }),
  defaultZone: option<Name | undefined>({
    name: 'default-zone',
    form: 'text',
    placeholder: 'NAME',
    describe: 'the zone of names that end in none',
    schema: parsedBy(parseDomain),
    fallback: undefined,
    defaultText: 'the first zone',
    expects: 'a domain name',
    example: 'skydns.local.',
  }),
  ip: option<string | undefined>({
    name: 'ip',
    form: 'text',
    placeholder: 'IP',
    describe: "this host's address for published ports",
    schema: parsedBy((text) => (addressFamily(text) === 0 ? undefined : text)),
    fallback: undefined,
    defaultText: "the default route's",
    expects: 'an IP address',
    example: '192.0.2.10',
  }),
  mode: option<'published' | 'internal'>({
    name: 'mode',
    form: 'text',
    placeholder: 'MODE',
    choices: ['published', 'internal'],
    describe: "the host's address and published ports, or the containers' own",
    schema: oneOf('published', 'internal'),
    fallback: 'published',
    defaultText: 'published',
    expects: 'published or internal',
    example: 'internal',
  }),
  networks: option<readonly string[]>({
    name: 'network',
    form: 'list',
    placeholder: 'NETWORK',
    describe: 'network whose addresses count in internal mode, in this order; repeatable',
    schema: listOf(plainText),
    fallback: [],
    defaultText: "those shared with the registrar, then the container's first",
    expects: 'a network',
    example: 'backend',
  }),
  exposedByDefault: option<boolean>({
    name: 'exposed-by-default',
    form: 'switch',
    describe: 'register containers without any metadata too',
    schema: switchValue,
    fallback: false,
    defaultText: 'false',
    expects: 'true or false',
    example: 'true',
  }),
  environment: option<string | undefined>({
    name: 'environment',
    form: 'text',
    placeholder: 'LABEL',
    describe: 'environment of containers that have none',
    schema: parsedBy(parseLabels),
    fallback: undefined,
    defaultText: 'the compose project or swarm stack',
    expects: 'a label of a name',
    example: 'production',
  }),
  region: option<string | undefined>({
    name: 'region',
    form: 'text',
    placeholder: 'LABEL',
    describe: 'region of containers that set none',
    schema: parsedBy(parseLabels),
    fallback: undefined,
    defaultText: 'none',
    expects: 'a label of a name',
    example: 'east',
  }),
  serviceDomain: option<string | undefined>({
    name: 'service-domain',
    form: 'text',
    placeholder: 'NAME',
    describe: 'domain of containers that set none',
    schema: parsedBy((text) => parseDomain(text)?.join('.')),
    fallback: undefined,
    defaultText: 'the default zone',
    expects: 'a domain name',
    example: 'services.skydns.local.',
  }),
  recordTtlSeconds: option<number>({
    ...seconds,
    name: 'record-ttl',
    describe: 'TTL of records that set none',
    schema: wholeNumber(1, 2 ** 31 - 1),
    fallback: 30,
    defaultText: '30',
    expects: `whole seconds from 1 to ${2 ** 31 - 1}`,
    example: '30',
  }),
  leaseTtlSeconds: option<number>({
    ...seconds,
    name: 'lease-ttl',
    describe: 'how long records outlive a registrar, or a host, that is gone',
    schema: wholeNumber(5, 86_400),
    fallback: 30,
    defaultText: '30',
    expects: 'whole seconds from 5 to 86400',
    example: '30',
  }),
  reconcileSeconds: option<number>({
    ...seconds,
    name: 'reconcile',
    describe: 'how often to compare all with what runs, in case an event was lost',
    schema: wholeNumber(1, 86_400),
    fallback: 30,
    defaultText: '30',
    expects: 'whole seconds from 1 to 86400',
    example: '30',
  }),
  ptr: option<boolean>({
    name: 'ptr',
    form: 'switch',
    describe: "PTR records for containers' own addresses",
    schema: switchValue,
    fallback: false,
    defaultText: 'false',
    expects: 'true or false',
    example: 'true',
  }),
  health: option<'auto' | 'ignore' | 'require'>({
    name: 'health',
    form: 'text',
    placeholder: 'HOW',
    choices: ['auto', 'ignore', 'require'],
    describe: 'whether a HEALTHCHECK must pass first: if there is one, never, or always',
    schema: oneOf('auto', 'ignore', 'require'),
    fallback: 'auto',
    defaultText: 'auto',
    expects: 'auto, ignore or require',
    example: 'ignore',
  }),
  stop: option<'drain' | 'die'>({
    name: 'stop',
    form: 'text',
    placeholder: 'WHEN',
    choices: ['drain', 'die'],
    describe: 'when a container is withdrawn: at its stop signal, or when it has ended',
    schema: oneOf('drain', 'die'),
    fallback: 'drain',
    defaultText: 'drain',
    expects: 'drain or die',
    example: 'die',
  }),
  stopTimeoutSeconds: option<number>({
    ...seconds,
    name: 'stop-timeout',
    describe: 'how long a container that still runs after its stop signal is kept out',
    schema: wholeNumber(1, 604_800),
    fallback: 300,
    defaultText: '300',
    expects: 'whole seconds from 1 to 604800',
    example: '300',
  }),
  dockerGraceSeconds: option<number | undefined>({
    ...seconds,
    name: 'docker-grace',
    describe: 'how long records stay while the engine is out of reach',
    schema: wholeNumber(0, 86_400),
    fallback: undefined,
    defaultText: 'as long as the registrar runs',
    expects: 'whole seconds from 0 to 86400',
    example: '300',
  }),
  onExit: option<'keep' | 'revoke'>({
    name: 'on-exit',
    form: 'text',
    placeholder: 'HOW',
    choices: ['keep', 'revoke'],
    describe: 'records at the end: left to the next registrar until the lease ends, or removed',
    schema: oneOf('keep', 'revoke'),
    fallback: 'keep',
    defaultText: 'keep',
    expects: 'keep or revoke',
    example: 'revoke',
  }),
  ipLabel: option<string | undefined>({
    name: 'ip-label',
    form: 'text',
    placeholder: 'LABEL',
    describe: "label that holds a container's address",
    schema: plainText,
    fallback: undefined,
    expects: 'a label of containers',
    example: 'org.example.ip',
  }),
  envPrefix: option<string>({
    name: 'env-prefix',
    form: 'text',
    placeholder: 'TEXT',
    describe: 'begins the names of the metadata in the environment',
    schema: parsedBy(parseMetadataPrefix),
    fallback: 'DNS_',
    defaultText: 'DNS_',
    expects: 'letters, digits, dots, dashes and underscores',
    example: 'DNS_',
  }),
  labelPrefix: option<string>({
    name: 'label-prefix',
    form: 'text',
    placeholder: 'TEXT',
    describe: 'begins the names of the metadata in labels',
    schema: parsedBy(parseMetadataPrefix),
    fallback: 'dns.',
    defaultText: 'dns.',
    expects: 'letters, digits, dots, dashes and underscores',
    example: 'dns.',
  }),
  compat: option<'dns' | 'registrator'>({
    name: 'compat',
    form: 'text',
    placeholder: 'WHOM',
    choices: ['registrator'],
    describe: "registrator's metadata (SERVICE_*), keys and command line instead",
    schema: oneOf('dns', 'registrator'),
    fallback: 'dns',
    defaultText: 'none',
    expects: 'registrator',
    example: 'registrator',
  }),
  rawIds: option<boolean>({
    name: 'raw-ids',
    form: 'switch',
    describe: 'with --compat registrator: its HOST:NAME:PORT as the last part of keys',
    schema: switchValue,
    fallback: false,
    defaultText: 'false',
    expects: 'true or false',
    example: 'true',
  }),
  checkMethods: option<readonly ('OPTIONS' | 'POST' | 'PUT')[]>({
    name: 'check-method',
    form: 'list',
    placeholder: 'METHOD',
    choices: ['OPTIONS', 'POST', 'PUT'],
    describe:
      'with --compat registrator: HTTP method that checks may use besides GET and HEAD; repeatable',
    schema: listOf(oneOf('OPTIONS', 'POST', 'PUT')),
    fallback: [],
    defaultText: 'none',
    expects: 'OPTIONS, POST or PUT',
    example: 'POST',
  }),
  dryRun: option<boolean>({
    name: 'dry-run',
    form: 'switch',
    describe: 'write nothing, say what would be written',
    schema: switchValue,
    fallback: false,
    defaultText: 'false',
    expects: 'true or false',
    example: 'true',
  }),
};

/** What `soradns register` has besides: its own listener and log. */
export const REGISTER_OPTIONS = {
  ...REGISTRAR_OPTIONS,
  http: {
    ...SERVE_OPTIONS.http,
    describe: 'status and health checks; "off" for none',
    fallback: { address: '127.0.0.1', port: 4002 },
    defaultText: '127.0.0.1:4002',
    example: '127.0.0.1:4002',
  },
  httpHosts: SERVE_OPTIONS.httpHosts,
  logLevel: SERVE_OPTIONS.logLevel,
};

/** The registrar's rows as `serve` has them. */
export const SERVE_REGISTRAR_OPTIONS = prefixed(REGISTRAR_OPTIONS, 'register-');

/** Under other names, and without the variables of the first ones. */
function prefixed<R extends Rows>(rows: R, prefix: string): R {
  const renamed = Object.entries(rows).map(([field, { env: _, ...row }]) => [
    field,
    { ...row, name: `${prefix}${row.name}`, group: 'With --register:' } satisfies Option<unknown>,
  ]);
  return Object.fromEntries(renamed) as R;
}

/** One label or more, of letters, digits, hyphens and underscores. */
function parseLabels(text: string): string | undefined {
  const label = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?';
  return new RegExp(`^${label}(?:\\.${label})*$`, 'i').test(text) ? text.toLowerCase() : undefined;
}

function parseMetadataPrefix(text: string): string | undefined {
  return /^[A-Za-z][A-Za-z0-9_./-]*$/.test(text) ? text : undefined;
}
