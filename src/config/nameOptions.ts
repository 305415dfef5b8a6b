/** The rows of the registrar's options about names: which ones containers may have, and what is added to those they have. */
import { type Cidr, parseCidr } from '../forward/addresses.ts';
import { type NamePattern, parseNamePattern } from '../service/namePattern.ts';
import { option } from './option.ts';
import { listOf, parseDomain, parsedBy, switchValue } from './valueForms.ts';

export const NAME_OPTIONS = {
  allow: option<readonly NamePattern[] | undefined>({
    name: 'allow',
    form: 'list',
    placeholder: 'PATTERN',
    describe:
      'names that containers may use; * is one label, a leading ** any number, {project} the project; repeatable',
    schema: listOf(parsedBy(parseNamePattern)),
    fallback: undefined,
    defaultText: 'any in the zones',
    expects: 'a whole name, with * or {project} for a whole label and ** only in front',
    example: '**.{project}.skydns.local',
  }),
  projectScope: option<boolean>({
    name: 'project-scope',
    form: 'switch',
    describe: 'containers may only have names at or below PROJECT.ZONE',
    schema: switchValue,
    fallback: false,
    defaultText: 'false',
    expects: 'true or false',
    example: 'true',
  }),
  dnsIpAllow: option<readonly Cidr[] | undefined>({
    name: 'dns-ip-allow',
    form: 'list',
    placeholder: 'CIDR',
    describe: 'addresses that containers may state by DNS_IP or --ip-label; repeatable',
    schema: listOf(parsedBy(parseCidr)),
    fallback: undefined,
    defaultText: 'any',
    expects: 'an address range',
    example: '10.0.0.0/8',
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
};

/** One label or more, of letters, digits, hyphens and underscores. */
function parseLabels(text: string): string | undefined {
  const label = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?';
  return new RegExp(`^${label}(?:\\.${label})*$`, 'i').test(text) ? text.toLowerCase() : undefined;
}
