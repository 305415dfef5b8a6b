/** `soradns vip`: gives virtual addresses to services that no container registers, lists all, and takes them back. */
import {
  type AddressGiven,
  giveAddress,
  storedAddresses,
} from '../../ambassador/names/claimAddress.ts';
import { printNetwork } from '../../ambassador/rangeClash.ts';
import { isInRange, vipRangeOf } from '../../ambassador/vipRange.ts';
import { Failure } from '../../app/process/failure.ts';
import type { Io } from '../../app/process/process.ts';
import { AMBASSADOR_SWITCHES } from '../../config/options/ambassadorOptions.ts';
import { type OptionWords, wordsOf } from '../../config/options/option.ts';
import { type Arguments, readSettings } from '../../config/settings.ts';
import { canonicalAddress } from '../../dns/address.ts';
import { equalNames, type Name, printName } from '../../dns/name.ts';
import { tablePrefix } from '../../service/key.ts';
import { type GivenPort, parseGivenPort, printGivenPort } from '../../service/virtualAddress.ts';
import type { Command } from '../command.ts';
import { warnUnserved } from '../nameChecks.ts';
import { jsonLine } from '../output.ts';
import { CLIENT_OPTIONS, type StoreAccess, withStore } from '../storeAccess.ts';
import { serviceNameOf } from './storedNames.ts';
import { listVips } from './vipList.ts';

const RANGE_OPTIONS = {
  vipRange: AMBASSADOR_SWITCHES.vipRange,
  vipRange6: AMBASSADOR_SWITCHES.vipRange6,
};

const ADD_OPTIONS: readonly OptionWords[] = [
  {
    name: 'address',
    form: 'text',
    placeholder: 'IP',
    describe: 'for add: this address of the range',
    defaultText: 'the first free one of those that the name tries',
  },
  {
    name: 'port',
    form: 'text',
    placeholder: 'PORT[=PORT][/udp][,…]',
    describe:
      'for add: the ports of the address, and after = the port of the containers that each leads to',
    defaultText: 'those of the instances',
  },
  ...wordsOf(RANGE_OPTIONS),
];

export const vipCommand: Command = {
  name: 'vip',
  summary: 'Give, list and release virtual addresses of services',
  positionals: [
    {
      name: 'action',
      describe: 'add: give the name an address; ls: list all; rm: release those of the name',
      required: true,
      choices: ['add', 'ls', 'rm'],
    },
    { name: 'name', describe: 'for add and rm: name of the service', required: false },
  ],
  options: [...ADD_OPTIONS, ...CLIENT_OPTIONS],
  examples: [
    ['soradns vip add db.skydns.local', 'give it an address with the ports of its instances'],
    [
      'soradns vip add web.skydns.local --port 80=8080',
      'lead port 80 to port 8080 of its containers',
    ],
    ['soradns vip add leader.mysql.skydns.local', 'lead to the instance that leads mysql'],
    ['soradns vip ls', 'list the addresses with their ports and the number of backends'],
    ['soradns vip rm db.skydns.local', 'release its address'],
  ],
  note: `Servers with --vip answer with the addresses. --vip-range must be that of the servers. A name keeps the address
that it has. A container asks for one by DNS_VIP=auto; a name that it asks for gets an address again after rm.`,
  run(args, io) {
    const [action, text] = args.words;
    if (action === 'ls' && text !== undefined)
      throw new Failure('usage', `${text}: unexpected argument`, 'ls lists all addresses');
    if (action !== 'ls' && text === undefined)
      throw new Failure('usage', `${action}: needs a name`, 'for example db.skydns.local');
    const given = ADD_OPTIONS.find(({ name }) => args.flags[name] !== undefined);
    if (action !== 'add' && given !== undefined)
      throw new Failure('usage', `--${given.name}: is an option of add`, 'remove it');
    const name = text === undefined ? undefined : serviceNameOf(text);
    const wishes = action === 'add' ? readWishes(args, io) : [];
    return withStore(
      args,
      io,
      (access) => {
        if (name === undefined) return listVips(args, access, io);
        return action === 'add'
          ? addVips(name, wishes, args, access, io)
          : removeVips(name, args, access, io);
      },
      { creates: action === 'add' },
    );
  },
};

/** What to give in one range. */
interface VipWish {
  /** As the option has it, for messages. */
  readonly network: string;
  readonly range: ReturnType<typeof vipRangeOf>;
  readonly fixed: string | undefined;
  readonly ports: readonly GivenPort[] | undefined;
}

function readWishes({ flags }: Arguments, { env, readFile }: Io): readonly VipWish[] {
  const { settings, mistakes } = readSettings(RANGE_OPTIONS, {
    ...{ flags, env, readFile, file: undefined },
  });
  if (mistakes.length > 0) throw new Failure('usage', mistakes.join('; '));
  const fixed = fixedIn(flags.address);
  const ports = portsIn(flags.port);
  const wishes = [settings.vipRange, settings.vipRange6].flatMap((cidr) =>
    cidr === undefined
      ? []
      : [{ network: printNetwork(cidr), range: vipRangeOf(cidr), fixed, ports }],
  );
  if (fixed === undefined) return wishes;
  const wanted = wishes.filter(({ range }) => isInRange(range, fixed));
  if (wanted.length > 0) return wanted;
  const ranges = wishes.map(({ network }) => network).join(' and ');
  const hint = 'give the range of the servers by --vip-range, or --vip-range6';
  throw new Failure('usage', `--address: ${fixed} is outside ${ranges}`, hint);
}

function fixedIn(flag: Arguments['flags'][string] | undefined): string | undefined {
  if (flag === undefined) return undefined;
  const address = typeof flag === 'string' ? canonicalAddress(flag)?.address : undefined;
  if (address !== undefined) return address;
  const problem = `--address: ${JSON.stringify(flag)} is not an IP address`;
  throw new Failure('usage', problem, 'for example --address 198.18.255.7');
}

/** As many as a value may have. */
const MAX_PORTS = 64;

function portsIn(flag: Arguments['flags'][string] | undefined): readonly GivenPort[] | undefined {
  if (flag === undefined) return undefined;
  const texts = [flag].flat().flatMap((text) => String(text).split(','));
  const ports = new Map<string, GivenPort>();
  for (const text of texts) {
    const given = parseGivenPort(text.trim());
    if (given === undefined) {
      const problem = `--port: ${JSON.stringify(text)} is not PORT, PORT=PORT or one of them with /udp`;
      throw new Failure('usage', problem, 'for example --port 80=8080');
    }
    const { number, protocol } = given.port;
    const id = `${number}/${protocol}`;
    if (ports.has(id)) throw new Failure('usage', `--port: ${id} is given twice`);
    ports.set(id, given);
  }
  if (ports.size <= MAX_PORTS) return [...ports.values()];
  throw new Failure('usage', `--port: more than ${MAX_PORTS} ports`);
}

async function addVips(
  name: Name,
  wishes: readonly VipWish[],
  { flags }: Arguments,
  access: StoreAccess,
  io: Io,
): Promise<number> {
  const { store, prefix } = access;
  const since = new Date().toISOString();
  for (const { network, ...wish } of wishes) {
    const given = await giveAddress(store, tablePrefix(prefix, 'vip'), { ...wish, name, since });
    if (given.kind !== 'given') throw whyNotGiven(name, given, wish.fixed, network);
    const { address, holder } = given;
    if (flags.json) {
      const ports = holder.ports.map(printGivenPort);
      const view = { name: printName(name), address, since: holder.since, ports };
      io.stdout.write(`${jsonLine(view)}\n`);
    } else if (!flags.quiet) io.stdout.write(`${WORDS[given.as](printName(name), address)}\n`);
  }
  if (!flags.quiet) await warnUnserved(name, access, io);
  return 0;
}

const WORDS: Readonly<
  Record<Extract<AddressGiven, { kind: 'given' }>['as'], (name: string, address: string) => string>
> = {
  claimed: (name, address) => `gave ${address} to ${name}`,
  changed: (name, address) => `changed the ports of ${address}, which ${name} has`,
  kept: (name, address) => `${name} has ${address} already`,
};

function whyNotGiven(
  name: Name,
  given: Exclude<AddressGiven, { kind: 'given' }>,
  fixed: string | undefined,
  network: string,
): Failure {
  const text = printName(name);
  switch (given.kind) {
    case 'other': {
      const hint = `release it first: soradns vip rm ${text}`;
      return new Failure('conflict', `${text} has ${given.address} already`, hint);
    }
    case 'taken': {
      const holder = given.by === undefined ? 'an invalid value' : printName(given.by);
      return new Failure(
        'conflict',
        `${fixed ?? 'the address'} is taken by ${holder}`,
        'see soradns vip ls',
      );
    }
    case 'exhausted': {
      const hint = 'release addresses with soradns vip rm, or give all servers a wider --vip-range';
      return new Failure('conflict', `no address of ${network} is left for ${text}`, hint);
    }
  }
}

async function removeVips(
  name: Name,
  { flags }: Arguments,
  { store, prefix }: StoreAccess,
  { stdout }: Io,
): Promise<number> {
  const stored = await storedAddresses(store, tablePrefix(prefix, 'vip'));
  const released: string[] = [];
  for (const { address, entry, holder } of stored) {
    if (holder === undefined || !equalNames(holder.name, name)) continue;
    const { key, modRevision } = entry;
    // Another name may have got the address meanwhile.
    const { done } = await store.delete(key, { if: { kind: 'modRevision', modRevision } });
    if (done) released.push(address);
  }
  const text = printName(name);
  if (released.length === 0) throw new Failure('not_found', `${text} has no virtual address`);
  if (flags.json) stdout.write(`${jsonLine({ name: text, addresses: released })}\n`);
  else if (!flags.quiet) stdout.write(`released ${released.join(', ')} of ${text}\n`);
  return 0;
}
