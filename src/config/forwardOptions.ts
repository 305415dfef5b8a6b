/** The rows of the options for names outside the server's domains. */
import type { SocketAddress } from '../dns/address.ts';
import type { Name } from '../dns/name.ts';
import { type Cidr, DEFAULT_RECURSION_RANGES, parseCidr } from '../forward/addresses.ts';
import { parseNameserver } from '../forward/upstream.ts';
import { option } from './option.ts';
import { listOf, parseDomain, parsedBy, switchValue, wholeNumberValue } from './valueForms.ts';

export const FORWARD_OPTIONS = {
  nameservers: option<'resolv.conf' | readonly SocketAddress[]>({
    name: 'nameservers',
    form: 'list',
    placeholder: 'IP[:PORT]',
    describe: 'upstream DNS servers; repeatable',
    schema: listOf(parsedBy(parseNameserver)),
    fallback: 'resolv.conf',
    defaultText: "the host's resolv.conf",
    expects: 'an IP or IP:PORT',
    example: '192.0.2.53:53',
    env: ['SKYDNS_NAMESERVERS'],
    jsonKeys: ['nameservers'],
    live: true,
  }),
  recursion: option<boolean>({
    name: 'no-rec',
    form: 'switch',
    describe: 'never forward: names outside our domains are refused',
    schema: switchValue.transform((off) => !off),
    fallback: true,
    defaultText: 'false',
    expects: 'true or false',
    example: 'true',
    jsonKeys: ['no_rec'],
    live: true,
  }),
  recursionAllow: option<readonly Cidr[]>({
    name: 'recursion-allow',
    form: 'list',
    placeholder: 'CIDR',
    describe: 'clients for whom we forward; repeatable',
    schema: listOf(parsedBy(parseCidr)),
    fallback: DEFAULT_RECURSION_RANGES,
    defaultText: 'loopback and private ranges',
    expects: 'an address range',
    example: '10.0.0.0/8',
    live: true,
  }),
  ndots: option<number>({
    name: 'ndots',
    form: 'text',
    placeholder: 'LABELS',
    describe: 'labels that a name needs to be forwarded',
    schema: wholeNumberValue(0, 127),
    fallback: 2,
    defaultText: '2',
    expects: 'a whole number from 0 to 127',
    example: '2',
    env: ['SKYDNS_NDOTS'],
    jsonKeys: ['ndots', 'ndot'],
    live: true,
  }),
  rebindProtection: option<boolean>({
    name: 'rebind-protection',
    form: 'switch',
    describe:
      'withhold answers in which a name outside our domains leads to a private address or into our domains',
    schema: switchValue,
    fallback: false,
    defaultText: 'off',
    expects: 'true or false',
    example: 'true',
    live: true,
  }),
  rebindAllow: option<readonly Name[]>({
    name: 'rebind-allow',
    form: 'list',
    placeholder: 'NAME',
    describe: 'domain exempt from --rebind-protection; repeatable',
    schema: listOf(parsedBy(parseDomain)),
    fallback: [],
    defaultText: 'none',
    expects: 'a domain name',
    example: 'corp.example.com.',
    live: true,
  }),
};
