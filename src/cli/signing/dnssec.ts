/**
 * cli/signing/: The commands for the keys of signed domains.
 * Imports: app/answering, app/process, cli, config, config/options, dns, dns/presentation, forward, sign.
 * Used by: cli/commands.
 *
 * `soradns dnssec`: makes and replaces the keys of a domain, and prints what its parent needs and has.
 */
import { Failure } from '../../app/process/failure.ts';
import type { Io } from '../../app/process/process.ts';
import { FORWARD_OPTIONS } from '../../config/options/forwardOptions.ts';
import { parseDomain } from '../../config/options/valueForms.ts';
import type { Arguments } from '../../config/settings.ts';
import type { Name } from '../../dns/name.ts';
import { DIGESTS } from '../../sign/delegation.ts';
import { type Command, OUTPUT_OPTIONS } from '../command.ts';
import { DEFAULT_ALGORITHM, keygen, MADE_ALGORITHMS } from './keygen.ts';

type KeyAction = (domain: Name, args: Arguments, io: Io) => Promise<number> | number;

const ACTIONS: Readonly<Record<string, KeyAction>> = {
  keygen,
  async ds(...call) {
    return (await import('./parentRecords.ts')).printDelegation(...call);
  },
  async roll(...call) {
    return (await import('./roll.ts')).roll(...call);
  },
  async unsign(...call) {
    return (await import('./parentRecords.ts')).unsign(...call);
  },
};

export const dnssecCommand: Command = {
  name: 'dnssec',
  summary: 'Make, inspect and replace the keys of a signed domain',
  positionals: [
    {
      name: 'action',
      describe:
        'keygen: make a key, and print the base name of its files; ds: print the DS and DNSKEY records of the keys in FOLDER; status: print the state of each key, its next step, what the parent has, and whether the key can be removed; roll: replace a key; unsign: ask the parent to remove the DS',
      required: true,
      choices: ['keygen', 'ds', 'status', 'roll', 'unsign'],
    },
    {
      name: 'domain',
      describe: 'the signed domain; without it, status prints all domains of FOLDER',
      required: false,
    },
  ],
  options: [
    {
      name: 'keys',
      form: 'text',
      placeholder: 'FOLDER',
      describe: 'folder of the keys',
      defaultText: '.',
    },
    {
      name: 'algorithm',
      form: 'text',
      placeholder: 'NAME',
      describe: "for keygen, and for roll, where the default is the old key's",
      choices: Object.keys(MADE_ALGORITHMS),
      defaultText: DEFAULT_ALGORITHM,
    },
    {
      name: 'csk',
      form: 'switch',
      describe: 'for keygen and roll: the key signs everything; the default without ZSKs',
    },
    {
      name: 'ksk',
      form: 'switch',
      describe: 'for keygen and roll: the key signs the keys, and a ZSK everything else',
    },
    {
      name: 'zsk',
      form: 'switch',
      describe: 'for keygen and roll: the key signs everything but the keys',
    },
    {
      name: 'digest',
      form: 'text',
      placeholder: 'NAME',
      describe: 'for ds',
      choices: Object.keys(DIGESTS),
      defaultText: 'sha256',
    },
    {
      ...FORWARD_OPTIONS.nameservers,
      describe: "for status and roll: resolvers to ask for the parent's DS, as for serve",
    },
    {
      name: 'server',
      form: 'text',
      placeholder: 'IP[:PORT]',
      describe:
        'for status and roll: server of the domain, to ask for the TTL of DNSKEY (SORADNS_SERVER)',
      defaultText: '127.0.0.1:53',
    },
    {
      name: 'ttl',
      form: 'text',
      placeholder: 'SECONDS',
      describe: 'for status and roll: TTL of DNSKEY; the server is not asked',
      defaultText: "the server's, or 86400 if it does not answer",
    },
    {
      name: 'longest-ttl',
      form: 'text',
      placeholder: 'SECONDS',
      describe: "for status and roll: longest TTL of the domain's records",
      defaultText: '86400',
    },
    {
      name: 'parent-ready',
      form: 'switch',
      describe:
        "for roll: the parent's DS, or each resolver's trust anchor, is that of the new key alone; roll asks for neither",
    },
    {
      name: 'url',
      form: 'text',
      placeholder: 'URL',
      describe: 'for status: --http address of the server, to count its signatures',
      defaultText: 'http://127.0.0.1:4001',
    },
    { name: 'undo', form: 'switch', describe: 'for unsign: keep the domain signed' },
    {
      name: 'dry-run',
      form: 'switch',
      describe: 'for roll and unsign: print the changes without making them',
    },
    ...OUTPUT_OPTIONS,
  ],
  examples: [
    [
      'soradns dnssec keygen skydns.local --keys /etc/soradns/keys',
      'make a key that signs everything',
    ],
    ['soradns dnssec ds skydns.local --keys /etc/soradns/keys', 'print what the parent needs'],
    [
      'soradns dnssec status skydns.local --keys /etc/soradns/keys',
      'print the state of the keys and the next steps',
    ],
    [
      'soradns dnssec roll skydns.local --zsk --keys /etc/soradns/keys --dry-run',
      'print the dates with which the ZSK would be replaced',
    ],
  ],
  note: `roll takes two steps for a key that the parent names. The first makes its successor. When the parent has the DS
of the successor alone, the second sets when the old key leaves.`,
  async run(args, io) {
    const [action = '', text] = args.words;
    if (action === 'status') {
      const { printStatus } = await import('./status.ts');
      return printStatus(text === undefined ? undefined : domainIn(text), args, io);
    }
    const act = ACTIONS[action];
    if (act === undefined) throw new Failure('usage', `${action}: is not an action`);
    if (text === undefined) throw new Failure('usage', `${action} needs a domain`);
    return act(domainIn(text), args, io);
  },
};

function domainIn(text: string): Name {
  const domain = parseDomain(text);
  if (domain === undefined)
    throw new Failure('usage', `${JSON.stringify(text)} is not a domain name`);
  return domain;
}
