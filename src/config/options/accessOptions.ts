/** The option rows about clients: who gets answers, and what the server says about itself. */
import { MAX_NSID_OCTETS } from '../../dns/edns.ts';
import { type Cidr, parseCidr } from '../../forward/addresses.ts';
import { option } from './option.ts';
import { eitherValue, listOf, mappedValue, oneOfValue, parsedBy } from './valueForms.ts';

/** The longest string of a TXT record (RFC 1035 §3.3). */
const MAX_STRING_OCTETS = 255;

/** Printable ASCII, so that clients show it as it is. */
function textOf(maxOctets: number) {
  return parsedBy((text) => (/^[ -~]+$/.test(text) && text.length <= maxOctets ? text : undefined));
}

export const ACCESS_OPTIONS = {
  allow: option<readonly Cidr[] | undefined>({
    name: 'allow',
    form: 'list',
    placeholder: 'CIDR',
    describe:
      'clients that get answers; the server drops the UDP packets of others, and refuses their queries over TCP; repeatable',
    schema: listOf(parsedBy(parseCidr)),
    fallback: undefined,
    defaultText: 'every client',
    expects: 'an address range',
    example: '172.16.0.0/12',
    live: true,
  }),
  identity: option<string | undefined>({
    name: 'identity',
    form: 'text',
    placeholder: 'TEXT',
    describe:
      'name of this server, for clients that ask which server answers (NSID, id.server); "host": the name of this host',
    schema: textOf(MAX_NSID_OCTETS),
    fallback: undefined,
    defaultText: 'no NSID; localhost for id.server',
    expects: `a text of 1 to ${MAX_NSID_OCTETS} printable ASCII characters`,
    example: 'dns1.example.org',
    live: true,
  }),
  versionText: option<string | undefined>({
    name: 'version-text',
    form: 'text',
    placeholder: 'TEXT',
    describe: 'answer to version.bind and version.server; "none" refuses it',
    schema: eitherValue(
      mappedValue(oneOfValue('none'), () => undefined),
      textOf(MAX_STRING_OCTETS),
    ),
    fallback: 'soradns',
    defaultText: 'soradns',
    expects: `a text of 1 to ${MAX_STRING_OCTETS} printable ASCII characters, or none`,
    example: 'none',
    live: true,
  }),
};
