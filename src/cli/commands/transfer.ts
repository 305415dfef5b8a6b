/** `soradns transfer`: prints a domain as a zone file, from a server or from the store. */
import { Failure } from '../../app/process/failure.ts';
import type { Io } from '../../app/process/process.ts';
import type { Arguments } from '../../config/settings.ts';
import { foldName, type Name, parseName, printName } from '../../dns/name.ts';
import { printRr } from '../../dns/presentation/presentation.ts';
import { type Rr, Type } from '../../dns/rr.ts';
import type { Command } from '../command.ts';
import { serverAddress } from '../serverAddress.ts';
import { CLIENT_OPTIONS, type StoreAccess, withStore } from '../storeAccess.ts';
import { timeoutMsOf } from './query.ts';

export const transferCommand: Command = {
  name: 'transfer',
  summary: 'Print a domain as a zone file',
  positionals: [
    {
      name: 'words',
      describe: 'DOMAIN [@SERVER[:PORT]]; without a server the records come from the store',
      required: true,
      many: true,
    },
  ],
  options: [
    {
      name: 'serial',
      form: 'text',
      placeholder: 'NUMBER',
      describe: 'print the changes since this SOA serial (IXFR), as the server sends them',
    },
    {
      name: 'key-file',
      form: 'text',
      placeholder: 'FILE',
      describe: 'file with the TSIG key that the server asks for',
    },
    {
      name: 'timeout',
      form: 'text',
      placeholder: 'SECONDS',
      describe: 'longest time without a message of the server',
      defaultText: '4',
    },
    {
      name: 'no-aggregates',
      form: 'switch',
      describe:
        'from the store: leave out the records of names that only have other names below them',
    },
    ...CLIENT_OPTIONS,
  ],
  examples: [
    ['soradns transfer skydns.local', 'print the domain as the store has it'],
    ['soradns transfer skydns.local @127.0.0.1:5300', 'print what the server gives secondaries'],
    [
      'soradns transfer skydns.local @10.0.0.1 --key-file tsig.key --serial 2026',
      'print the changes since serial 2026',
    ],
  ],
  note: 'The records from the store have the defaults of `soradns serve`, so they have no virtual addresses. The serial is the revision of the store.',
  async run(args, io) {
    const servers = args.words.filter((word) => word.startsWith('@'));
    const [text = '', extra] = args.words.filter((word) => !word.startsWith('@'));
    if (extra !== undefined || servers.length > 1) {
      throw new Failure('usage', `${extra ?? servers[1]}: unexpected argument`);
    }
    const zone = text === '' ? undefined : parseName(text);
    if (zone === undefined) throw new Failure('usage', `${text}: is not a domain name`);
    const [server] = servers;
    if (server !== undefined) return fromServer(server.slice(1), zone, args, io);
    if (args.flags.serial !== undefined || args.flags['key-file'] !== undefined) {
      throw new Failure('usage', '--serial and --key-file need a server', 'for example @127.0.0.1');
    }
    return withStore(args, io, (access) => fromStore(access, foldName(zone), args, io));
  },
};

async function fromServer(
  server: string,
  zone: Name,
  { flags }: Arguments,
  io: Io,
): Promise<number> {
  const { transferRecords } = await import('../zoneTransfer.ts');
  const serial = serialOf(flags.serial);
  const records = transferRecords({
    server: await serverAddress(server),
    zone,
    serial,
    key: await keyIn(flags['key-file'], io),
    timeoutMs: timeoutMsOf(flags.timeout),
  });
  let soas = 0;
  for await (const rrs of records) {
    const lines: string[] = [];
    for (const rr of rrs) {
      if (rr.type === Type.SOA) soas++;
      // A zone file has one SOA; the second one only ends the transfer.
      if (serial === undefined && rr.type === Type.SOA && soas > 1) continue;
      lines.push(`${printRr(rr)}\n`);
    }
    io.stdout.write(lines.join(''));
  }
  return 0;
}

function serialOf(raw: unknown): number | undefined {
  if (raw === undefined) return undefined;
  const serial = Number(raw);
  if (/^[0-9]+$/.test(String(raw)) && serial < 2 ** 32) return serial;
  throw new Failure('usage', '--serial: must be a whole number below 4294967296');
}

async function keyIn(path: unknown, { readFile }: Io) {
  if (path === undefined) return undefined;
  const content = readFile(String(path));
  if ('problem' in content) {
    throw new Failure('usage', `--key-file: cannot read ${path} (${content.problem})`);
  }
  const { parseTsigKeys } = await import('../../transfer/tsigKeys.ts');
  const parsed = parseTsigKeys(content.text);
  if (parsed.kind === 'mistake')
    throw new Failure('usage', `--key-file: ${path} ${parsed.problem}`);
  const [key, second] = parsed.keys.values();
  if (second !== undefined) {
    throw new Failure('usage', `--key-file: ${path} has several keys`, 'name a file with one');
  }
  return key;
}

async function fromStore(
  { store, prefix }: StoreAccess,
  zone: Name,
  args: Arguments,
  io: Io,
): Promise<number> {
  const [
    { SERVE_OPTIONS },
    { Catalog },
    { settingsFor },
    { ZoneVersions },
    { childrenInOrder },
    { DelegatedNames, delegatedIn },
    records,
    view,
  ] = await Promise.all([
    import('../../config/options/serveOptions.ts'),
    import('../../zone/tree/catalog.ts'),
    import('../linking/storedNames.ts'),
    import('../../transfer/zoneVersions.ts'),
    import('../../zone/contents.ts'),
    import('../../zone/zoneCuts.ts'),
    import('../../transfer/records.ts'),
    import('../../zone/tree/view.ts'),
  ]);
  const delegated = new DelegatedNames();
  const catalog = new Catalog({ prefix, onApplied: (nodes) => void delegated.apply(nodes) });
  let revision = 0;
  for await (const page of store.snapshot(prefix)) {
    revision = page.revision;
    catalog.apply(page.entries.map((entry) => ({ kind: 'put', entry, previous: undefined })));
  }
  const settings = await settingsFor({ store, prefix }, io);
  const versions = new ZoneVersions({
    apex: zone,
    data: {
      root: catalog.root,
      settings: {
        ...settings,
        apexes: [zone],
        // Their table is not read, and `serve` does not give them to names by default.
        virtualAddresses: false,
        forwarded: delegatedIn(delegated.cuts(), [zone]),
        storedWildcards: SERVE_OPTIONS.storedWildcards.fallback,
      },
      unixSeconds: 0,
      facts: view.NO_FACTS,
      onFault(error) {
        throw error;
      },
    },
    inOrder: childrenInOrder,
    historyRecords: 0,
    aggregates: args.flags['no-aggregates'] !== true,
    onSkipped: (name, reason) => io.stderr.write(`; ${printName(name)}: left out: ${reason}\n`),
  });
  for (const _ of versions.read());
  versions.begin(revision % 2 ** 32, []);
  const rrs = [...records.eachRecord(versions.whole().records)].map(records.rrOfRecord);
  if (!rrs.some(({ type }) => type === Type.NS)) warnAboutNameServers(zone, io);
  io.stdout.write(rrs.slice(0, -1).map(lineOf).join(''));
  return 0;
}

function lineOf(rr: Rr): string {
  return `${printRr(rr)}\n`;
}

function warnAboutNameServers(zone: Name, { stderr }: Io): void {
  const name = `ns1.ns.dns.${printName(zone)}`;
  stderr.write(`; the domain has no name servers, so the zone is incomplete; add ${name}\n`);
}
