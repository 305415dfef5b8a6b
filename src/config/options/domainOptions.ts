/** The option rows for names that servers of their own, the store or files answer. */
import type { ForwardedDomain } from '../../forward/domains/domainForwarder.ts';
import { parseForwardRules } from '../../forward/domains/forwardRule.ts';
import { option } from './option.ts';
import { filePath, listOf, plainText, switchValue, type ValueReader } from './valueForms.ts';

const rules = listOf(plainText);

const forwardRules: ValueReader<readonly ForwardedDomain[]> = (raw) => {
  const read = rules(raw);
  const value = read && parseForwardRules(read.value);
  return value && { value };
};

export const DOMAIN_OPTIONS = {
  forward: option<readonly ForwardedDomain[]>({
    name: 'forward',
    form: 'list',
    placeholder: 'DOMAIN=SERVER,...',
    describe: 'servers for one domain, or local for none; repeatable',
    schema: forwardRules,
    fallback: [],
    defaultText: 'none',
    expects: 'DOMAIN=IP[:PORT][,IP[:PORT]...], CIDR=IP or DOMAIN=local',
    example: 'corp.example.com=10.0.0.2,10.0.0.3',
    live: true,
  }),
  stubZones: option<boolean>({
    name: 'stubzones',
    form: 'switch',
    describe: "forward the zones below dns/stub of each domain to the store's servers for them",
    schema: switchValue,
    fallback: false,
    defaultText: 'off',
    expects: 'true or false',
    example: 'true',
    live: true,
  }),
  hosts: option<readonly string[]>({
    name: 'hosts',
    form: 'list',
    placeholder: 'FILE',
    describe: 'hosts file with names outside the domains; repeatable',
    schema: listOf(filePath),
    fallback: [],
    defaultText: 'none',
    expects: 'the path of a file',
    example: '/etc/hosts',
    live: true,
  }),
};
