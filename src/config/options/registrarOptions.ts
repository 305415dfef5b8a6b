/**
 * The registrar's option rows. `soradns register` has them under these names, `soradns serve --register` with the
 * prefix `register-` (`--register-ip`), which keeps them apart from the server's options.
 */

import { addressFamily } from '../../dns/address.ts';
import type { Name } from '../../dns/name.ts';
import { MAX_TTL_SECONDS } from '../../dns/rr.ts';
import { NAME_OPTIONS } from './nameOptions.ts';
import { option, prefixed } from './option.ts';
import { SERVE_OPTIONS } from './serveOptions.ts';
import {
  listOf,
  mappedValue,
  oneOfValue,
  parseDomain,
  parsedBy,
  plainText,
  switchValue,
  wholeNumberValue,
} from './valueForms.ts';

/** The programs whose metadata `--compat` reads. */
export const COMPAT_PROGRAMS = ['registrator', 'ambassadord', 'connectable'] as const;
export type CompatProgram = (typeof COMPAT_PROGRAMS)[number];

const seconds = { form: 'text', placeholder: 'SECONDS' } as const;

export const REGISTRAR_OPTIONS = {
  dockerHost: option<string | undefined>({
    name: 'docker-host',
    form: 'text',
    placeholder: 'URL',
    describe: 'Docker engine: unix:///PATH or tcp://HOST:PORT',
    schema: plainText,
    fallback: undefined,
    defaultText: 'like docker: DOCKER_HOST, context, local socket',
    expects: 'the address of an engine',
    example: 'unix:///var/run/docker.sock',
  }),
  zones: option<readonly Name[] | undefined>({
    name: 'zone',
    form: 'list',
    placeholder: 'NAME',
    describe: 'domain for the names of containers; repeatable',
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
    describe: 'zone appended to names that end in none of the zones',
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
    describe: "this host's address, for published ports",
    schema: parsedBy((text) => (addressFamily(text) === 0 ? undefined : text)),
    fallback: undefined,
    defaultText: "the default route's address",
    expects: 'an IP address',
    example: '192.0.2.10',
  }),
  mode: option<'published' | 'internal'>({
    name: 'mode',
    form: 'text',
    placeholder: 'MODE',
    choices: ['published', 'internal'],
    describe:
      "register the host's address with published ports (published), or the containers' own addresses (internal)",
    schema: oneOfValue('published', 'internal'),
    fallback: 'published',
    defaultText: 'published',
    expects: 'published or internal',
    example: 'internal',
  }),
  networks: option<readonly string[]>({
    name: 'network',
    form: 'list',
    placeholder: 'NETWORK',
    describe:
      'network from which to take the addresses of containers in internal mode; repeatable, in order of preference',
    schema: listOf(plainText),
    fallback: [],
    defaultText: "networks shared with the registrar, then the container's first",
    expects: 'a network',
    example: 'backend',
  }),
  exposedByDefault: option<boolean>({
    name: 'exposed-by-default',
    form: 'switch',
    describe: 'also register containers without metadata',
    schema: switchValue,
    fallback: false,
    defaultText: 'false',
    expects: 'true or false',
    example: 'true',
  }),
  anyRr: option<boolean>({
    name: 'any-rr',
    form: 'switch',
    describe:
      'let containers set records of every type, not only CAA, HTTPS, SVCB, TLSA, SSHFP and URI',
    schema: switchValue,
    fallback: false,
    defaultText: 'false',
    expects: 'true or false',
    example: 'true',
  }),
  node: option<boolean | undefined>({
    name: 'node',
    form: 'switch',
    describe: 'also register this host, as HOSTNAME.node.dns.ZONE',
    schema: switchValue,
    fallback: undefined,
    defaultText: 'false; true with --consul-domain',
    expects: 'true or false',
    example: 'true',
  }),
  nodeMeta: option<readonly string[]>({
    name: 'node-meta',
    form: 'list',
    placeholder: 'KEY=VALUE',
    describe: "text of this host's name, which TXT has; repeatable",
    schema: listOf(parsedBy(parseNodeMeta)),
    fallback: [],
    defaultText: 'none',
    expects: 'KEY=VALUE of at most 255 printable ASCII characters',
    example: 'rack=7',
  }),
  ...NAME_OPTIONS,
  recordTtlSeconds: option<number>({
    ...seconds,
    name: 'record-ttl',
    describe: 'TTL of records without a TTL of their own',
    schema: wholeNumberValue(1, MAX_TTL_SECONDS),
    fallback: 30,
    defaultText: '30',
    expects: `whole seconds from 1 to ${MAX_TTL_SECONDS}`,
    example: '30',
  }),
  leaseTtlSeconds: option<number>({
    ...seconds,
    name: 'lease-ttl',
    describe: 'how long records outlive a registrar or host that has failed',
    schema: wholeNumberValue(5, 86_400),
    fallback: 30,
    defaultText: '30',
    expects: 'whole seconds from 5 to 86400',
    example: '30',
  }),
  reconcileSeconds: option<number>({
    ...seconds,
    name: 'reconcile',
    describe:
      'how often to compare all records with the running containers, in case an event was lost',
    schema: wholeNumberValue(1, 86_400),
    fallback: 30,
    defaultText: '30',
    expects: 'whole seconds from 1 to 86400',
    example: '30',
  }),
  ptr: option<boolean>({
    name: 'ptr',
    form: 'switch',
    describe: "register PTR records for the containers' own addresses",
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
    describe:
      'which containers get records only while they are healthy: those with a HEALTHCHECK (auto), none (ignore), or all (require)',
    schema: oneOfValue('auto', 'ignore', 'require'),
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
    describe:
      "when to remove a container's records: at its stop signal (drain), or at its end (die)",
    schema: oneOfValue('drain', 'die'),
    fallback: 'drain',
    defaultText: 'drain',
    expects: 'drain or die',
    example: 'die',
  }),
  stopTimeoutSeconds: option<number>({
    ...seconds,
    name: 'stop-timeout',
    describe: 'how long a container that survives its stop signal stays out of DNS',
    schema: wholeNumberValue(1, 604_800),
    fallback: 300,
    defaultText: '300',
    expects: 'whole seconds from 1 to 604800',
    example: '300',
  }),
  dockerGraceSeconds: option<number | undefined>({
    ...seconds,
    name: 'docker-grace',
    describe: 'how long to keep records while Docker is unreachable',
    schema: wholeNumberValue(0, 86_400),
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
    describe: 'at exit, keep the records until their lease expires (keep), or remove them (revoke)',
    schema: oneOfValue('keep', 'revoke'),
    fallback: 'keep',
    defaultText: 'keep',
    expects: 'keep or revoke',
    example: 'revoke',
  }),
  ipLabel: option<string | undefined>({
    name: 'ip-label',
    form: 'text',
    placeholder: 'LABEL',
    describe: "label with a container's address",
    schema: plainText,
    fallback: undefined,
    expects: 'a container label',
    example: 'org.example.ip',
  }),
  envPrefix: option<string>({
    name: 'env-prefix',
    form: 'text',
    placeholder: 'TEXT',
    describe: 'prefix of metadata environment variables',
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
    describe: 'prefix of metadata labels',
    schema: parsedBy(parseMetadataPrefix),
    fallback: 'dns.',
    defaultText: 'dns.',
    expects: 'letters, digits, dots, dashes and underscores',
    example: 'dns.',
  }),
  compat: option<readonly CompatProgram[]>({
    name: 'compat',
    form: 'list',
    placeholder: 'PROGRAM',
    choices: COMPAT_PROGRAMS,
    describe:
      'registrator: use its metadata (SERVICE_*), keys and command line; ambassadord, connectable: also read the links in BACKEND_* or connect.*; repeatable',
    schema: mappedValue(listOf(oneOfValue('dns', ...COMPAT_PROGRAMS)), withoutDefault),
    fallback: [],
    defaultText: 'none',
    expects: 'registrator, ambassadord or connectable',
    example: 'registrator',
  }),
  rawIds: option<boolean>({
    name: 'raw-ids',
    form: 'switch',
    describe: 'with --compat registrator: end keys in HOST:NAME:PORT',
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
      'with --compat registrator: HTTP method that checks may use, besides GET and HEAD; repeatable',
    schema: listOf(oneOfValue('OPTIONS', 'POST', 'PUT')),
    fallback: [],
    defaultText: 'none',
    expects: 'OPTIONS, POST or PUT',
    example: 'POST',
  }),
  dryRun: option<boolean>({
    name: 'dry-run',
    form: 'switch',
    describe: 'write nothing; print what would be written',
    schema: switchValue,
    fallback: false,
    defaultText: 'false',
    expects: 'true or false',
    example: 'true',
  }),
};

/** The rows of `soradns register`: the registrar's, and those of its HTTP listener and log. */
export const REGISTER_COMMAND_OPTIONS = {
  ...REGISTRAR_OPTIONS,
  http: {
    ...SERVE_OPTIONS.http,
    describe: 'address of the status page and health checks; "off" disables it',
    fallback: { address: '127.0.0.1', port: 4002 },
    defaultText: '127.0.0.1:4002',
    example: '127.0.0.1:4002',
  },
  httpHosts: SERVE_OPTIONS.httpHosts,
  logLevel: SERVE_OPTIONS.logLevel,
};

/** The registrar's rows in `serve` and `up`. */
export const SERVE_REGISTRAR_OPTIONS = prefixed(REGISTRAR_OPTIONS, 'register-', 'With --register:');

/** `dns` alone is the default in one word; it overrides a variable that names a program. */
function withoutDefault(words: readonly ('dns' | CompatProgram)[]): readonly CompatProgram[] {
  return words.filter((word) => word !== 'dns');
}

function parseNodeMeta(text: string): string | undefined {
  return /^[A-Za-z0-9_.-]+=[ -~]*$/.test(text) && text.length <= 255 ? text : undefined;
}

function parseMetadataPrefix(text: string): string | undefined {
  return /^[A-Za-z][A-Za-z0-9_./-]*$/.test(text) ? text : undefined;
}
