/** The registrar's option rows for names: which names containers may have and link to, and the parts that complete a name. */
import { type Cidr, parseCidr } from '../../forward/addresses.ts';
import { type NamePattern, parseNamePattern } from '../../service/namePattern.ts';
import { option } from './option.ts';
import { listOf, parseDomain, parsedBy, switchValue } from './valueForms.ts';

export const NAME_OPTIONS = {
  allow: option<readonly NamePattern[] | undefined>({
    name: 'allow',
    form: 'list',
    placeholder: 'PATTERN',
    describe:
      "names that containers may use: * is one label, a leading ** any number of labels, {project} the container's project; repeatable",
    schema: listOf(parsedBy(parseNamePattern)),
    fallback: undefined,
    defaultText: 'any name in the zones',
    expects: 'a whole name, with * or {project} for a whole label and ** only in front',
    example: '**.{project}.skydns.local',
  }),
  projectScope: option<boolean>({
    name: 'project-scope',
    form: 'switch',
    describe: 'restrict each container to names at or below PROJECT.ZONE',
    schema: switchValue,
    fallback: false,
    defaultText: 'false',
    expects: 'true or false',
    example: 'true',
  }),
  wildcards: option<boolean>({
    name: 'wildcards',
    form: 'switch',
    describe:
      'let containers have names whose first label is *, which answer for names that do not exist',
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
    describe: 'addresses that containers may set with DNS_IP or --ip-label; repeatable',
    schema: listOf(parsedBy(parseCidr)),
    fallback: undefined,
    defaultText: 'any',
    expects: 'an address range',
    example: '10.0.0.0/8',
  }),
  linkAllow: option<readonly (NamePattern | Cidr)[] | undefined>({
    name: 'link-allow',
    form: 'list',
    placeholder: 'PATTERN',
    describe:
      'services that the links of containers may lead to, as a pattern of --allow or a range of addresses; repeatable',
    schema: listOf(parsedBy((text) => parseCidr(text) ?? parseNamePattern(text))),
    fallback: undefined,
    defaultText: 'any name and address',
    expects: 'a name as in --allow, or an address range',
    example: '**.{project}.skydns.local',
  }),
  environment: option<string | undefined>({
    name: 'environment',
    form: 'text',
    placeholder: 'LABEL',
    describe: 'environment of containers that set none',
    schema: parsedBy(parseLabels),
    fallback: undefined,
    defaultText: "the container's project",
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
export function parseLabels(text: string): string | undefined {
  const label = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?';
  return new RegExp(`^${label}(?:\\.${label})*$`, 'i').test(text) ? text.toLowerCase() : undefined;
}
