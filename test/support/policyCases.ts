/** Tables of containers under the operator's rules about names: which names get records, and what is refused. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { addressSet, cidrs } from '../../src/forward/addresses.ts';
import type {
  AllowedAddresses,
  OptionPrefix,
  RegistrarContext,
  RegistrationPolicy,
} from '../../src/registrar/describe/context.ts';
import { parseNamePattern } from '../../src/service/namePattern.ts';
import { summaryOf } from './descriptions.ts';
import {
  type ContainerSpec,
  inspection,
  registrarContext,
  registratorContext,
} from './inspection.ts';

export const PUBLISH = { '80/tcp': ['0.0.0.0:8080'] };

export interface Rules {
  readonly allow?: readonly string[];
  readonly projectScope?: boolean;
  readonly networks?: readonly string[];
  readonly links?: { readonly names: readonly string[]; readonly networks: readonly string[] };
  readonly optionPrefix?: OptionPrefix;
}

export function policyOf({
  allow,
  projectScope = false,
  networks,
  links,
}: Rules): RegistrationPolicy {
  const patterns = allow?.flatMap((text) => parseNamePattern(text) ?? []);
  assert.equal(patterns?.length, allow?.length);
  const linkAllow = links && {
    names: links.names.flatMap((text) => parseNamePattern(text) ?? []),
    addresses: addressesOf(links.networks),
  };
  return {
    allow: patterns,
    projectScope,
    dnsIpAllow: networks && addressesOf(networks),
    linkAllow,
  };
}

function addressesOf(networks: readonly string[]): AllowedAddresses {
  return { has: addressSet(cidrs(...networks)), networks: networks.join(', ') };
}

export interface Case {
  readonly rules?: Rules;
  readonly spec: ContainerSpec;
  readonly context?: Partial<RegistrarContext>;
  readonly parent?: ContainerSpec;
  /** Names with a record; the number of an automatic one is `*`. */
  readonly names: readonly string[];
  /** The texts of all refusals, in order. */
  readonly refused?: readonly (string | RegExp)[];
}

export type Cases = readonly (readonly [string, Case])[];

function check({ rules, spec, context = {}, parent, names, refused = [] }: Case): void {
  const make = context.compat?.includes('registrator') ? registratorContext : registrarContext;
  const policy = rules && policyOf(rules);
  const all = make({ ...context, optionPrefix: rules?.optionPrefix ?? '', policy });
  const child = inspection({ publish: PUBLISH, ...spec });
  const { records, refusals } = summaryOf(child, all, parent && inspection(parent));
  const named = Object.keys(records).map((key) => key.split('/').reverse().join('.'));
  assert.deepEqual(named.sort(), [...names].sort(), refusals.join('\n'));
  assert.equal(refusals.length, refused.length, refusals.join('\n'));
  for (const [i, expected] of refused.entries()) {
    const refusal = refusals[i] ?? '';
    if (typeof expected === 'string') assert.equal(refusal, expected);
    else assert.match(refusal, expected);
    assert.doesNotMatch(refusal, /\.\.\.$/, 'the refusal is not shortened');
  }
}

/** Makes one test of each row; the row's text is the title. */
export function run(cases: Cases): void {
  for (const [title, one] of cases) it(title, () => check(one));
}

export function named(name: string, labels: Record<string, string> = {}): ContainerSpec {
  return { env: { DNS_NAME: name }, labels };
}

export function ofProject(project: string, env: Record<string, string> = {}): ContainerSpec {
  const labels = {
    'com.docker.compose.project': project,
    'com.docker.compose.service': 'web',
    'com.docker.compose.container-number': '1',
  };
  return { env: { DNS_ENABLE: 'true', ...env }, labels };
}

export const SERVICE = { compat: ['registrator'] } as const;
