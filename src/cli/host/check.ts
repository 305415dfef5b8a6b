/** `soradns check`: validates the options of `serve` without starting it, like Knot's `knotc conf-check`. */
import { EXIT_CODES, Failure } from '../../app/process/failure.ts';
import { engineEndpoint, networkOf } from '../../app/process/network.ts';
import { etcdOptions } from '../../app/process/openStore.ts';
import { readServerPair, readUpstreamCa } from '../../app/process/pemFiles.ts';
import type { Io } from '../../app/process/process.ts';
import { CONFIG_OPTIONS, type Config, readConfig, readConfigFile } from '../../config/config.ts';
import { SERVE_AMBASSADOR_OPTIONS } from '../../config/options/ambassadorOptions.ts';
import type { Option } from '../../config/options/option.ts';
import { SERVE_REGISTRAR_OPTIONS } from '../../config/options/registrarOptions.ts';
import {
  type Arguments,
  findValue,
  type Origin,
  type Rows,
  type Sources,
} from '../../config/settings.ts';
import { withoutPassword } from '../../config/storeLocation.ts';
import { isLoopbackAddress } from '../../dns/address.ts';
import { equalNames, printName } from '../../dns/name.ts';
import { addressSet } from '../../forward/addresses.ts';
import { hostRanges } from '../../kernel/interfaces.ts';
import { printable } from '../../observability/printable.ts';
import { type Command, OUTPUT_OPTIONS } from '../command.ts';
import { jsonLine, printFailure, table } from '../output.ts';
import { SERVER_OPTIONS } from '../serverConfig.ts';

export const checkCommand: Command = {
  name: 'check',
  summary: 'Validate the configuration of serve',
  positionals: [],
  options: [
    ...SERVER_OPTIONS,
    {
      name: 'show',
      form: 'switch',
      describe: 'print every option with its value and the origin of the value',
    },
    ...OUTPUT_OPTIONS,
  ],
  examples: [
    ['soradns check --config /etc/soradns/config.json', 'print its mistakes, one per line'],
    ['soradns check --show', 'print the configuration of serve, and where each value comes from'],
    ['soradns check --show --json', 'for scripts'],
  ],
  note: `It takes all options, variables and the config file of serve. Exit code 0: serve accepts them; 2: it
does not. It does not read the key /skydns/config in the store.`,
  async run(args, io) {
    const { mistakes, notes } = await checkConfig(args, io);
    const shown = args.flags.show ? explainAllOptions(args, io) : undefined;
    if (args.flags.json) printJson({ mistakes, notes, options: shown }, io);
    else printWords({ mistakes, notes, options: shown }, args, io);
    return mistakes.length === 0 ? 0 : EXIT_CODES.usage;
  },
};

interface CheckResult {
  readonly mistakes: readonly string[];
  readonly notes: readonly string[];
}

async function checkConfig({ flags }: Arguments, io: Io): Promise<CheckResult> {
  const { env, readFile, stateDirectory } = io;
  const read = readConfig({ flags, env, readFile, stateDirectory });
  if (read.kind === 'mistakes') return { mistakes: read.mistakes, notes: [] };
  const { config } = read;
  const { store, registrar, upstreamCaFile } = config;
  const keys = await checkKeys(config);
  const mistakes = [
    ...mistakesOf(() => store.kind === 'etcd' && etcdOptions(store)),
    ...mistakesOf(() => upstreamCaFile && readUpstreamCa(upstreamCaFile)),
    ...mistakesOf(() => readServerPair(config)),
    ...mistakesOf(
      () =>
        registrar && engineEndpoint(registrar.settings.dockerHost, '--register-docker-host', io),
    ),
    ...keys.mistakes,
  ];
  const notes = [
    ...read.notes,
    ...keys.notes,
    ...(await accessNotes(config, io)),
    ...nearNotes(config),
  ];
  return { mistakes, notes };
}

/** The containers on Docker's bridge, to which a server without --allow answers. */
async function accessNotes(config: Config, io: Io): Promise<readonly string[]> {
  const { allow } = config;
  const bridge = allow && (await networkOf(config, io).bridgeAddress());
  if (bridge === undefined || addressSet(allow ?? [])(bridge)) return [];
  return [
    `--allow: lacks ${bridge}, this host's address on Docker's bridge, so containers there get no answers; add their range, for example ${bridge}/16`,
  ];
}

/** Without the host's network a container has no address of the host. */
function nearNotes({ near, nearNetworks, region, registrar }: Config): readonly string[] {
  const { ip, region: registerRegion } = registrar?.settings ?? {};
  if (near === 'off' || nearNetworks !== undefined || ip !== undefined) return [];
  const isKnown = hostRanges().some(({ address }) => !isLoopbackAddress(address));
  if (isKnown) return [];
  const rest =
    (region ?? registerRegion) === undefined
      ? 'no service is near'
      : 'only services of the region are near';
  return [
    `--near: no address of this host is known, so ${rest}; name its addresses, for example --near-networks 192.0.2.10`,
  ];
}

async function checkKeys({ dnssec, domains, transferAllow }: Config): Promise<CheckResult> {
  if (dnssec.length === 0) return { mistakes: [], notes: [] };
  const { byZone, readKeys } = await import('../../app/answering/keyFiles.ts');
  const { zoneKeysAt } = await import('../../sign/zoneKeys.ts');
  const { keys, problems, warnings } = readKeys(dnssec);
  const named = (line: string): string => `--dnssec: ${line}`;
  const now = Math.floor(Date.now() / 1000);
  const unused = byZone(keys).flatMap((ofZone) => {
    const zone = ofZone[0]?.key.zone ?? [];
    const isServed = domains.some((domain) => equalNames(domain, zone));
    if (!isServed) return [`--domain does not name ${printName(zone)}, which has keys`];
    const { zoneSigning } = zoneKeysAt(
      ofZone.map(({ key }) => key),
      now,
    );
    return zoneSigning.length > 0 ? [] : [`no key of ${printName(zone)} is active now`];
  });
  const transfers = transferAllow.length > 0 ? [UNSIGNED_TRANSFERS] : [];
  const notes = [...warnings, ...unused, ...transfers];
  return { mistakes: problems.map(named), notes: notes.map(named) };
}

const UNSIGNED_TRANSFERS =
  'transfers have no signatures, so resolvers that validate reject the answers of the servers of --transfer-allow; sign on those servers, or remove --dnssec';

/** Mistakes that `serve` finds only when it uses the options. */
function mistakesOf(use: () => unknown): readonly string[] {
  try {
    use();
    return [];
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return [error.hint === undefined ? error.message : `${error.message}; ${error.hint}`];
  }
}

function explainAllOptions({ flags }: Arguments, io: Io): readonly ExplainedOption[] {
  const { env, readFile, stateDirectory } = io;
  const read = readConfigFile({ flags, env, readFile });
  const file = read.kind === 'read' ? read.file : undefined;
  const rows = {
    ...CONFIG_OPTIONS,
    ...withOtherKeys(SERVE_REGISTRAR_OPTIONS, 'register'),
    ...withOtherKeys(SERVE_AMBASSADOR_OPTIONS, 'ambassador'),
  };
  return explainOptions(rows, { flags, env, readFile, file }).map((option) =>
    option.name === 'store' && option.origin === 'default'
      ? { ...option, value: `file:${stateDirectory}` }
      : option,
  );
}

/** The rows of a part under other keys, since some of the server's rows have the same keys. */
function withOtherKeys<Row>(
  rows: Readonly<Record<string, Row>>,
  part: string,
): Readonly<Record<string, Row>> {
  return Object.fromEntries(Object.entries(rows).map(([field, row]) => [`${part} ${field}`, row]));
}

interface CheckReport extends CheckResult {
  readonly options: readonly ExplainedOption[] | undefined;
}

function printJson({ mistakes, notes, options }: CheckReport, { stdout }: Io): void {
  const isSound = mistakes.length === 0;
  stdout.write(`${jsonLine({ ok: isSound, mistakes, notes, ...(options && { options }) })}\n`);
}

function printWords({ mistakes, notes, options }: CheckReport, { flags }: Arguments, io: Io): void {
  if (options !== undefined) {
    const rows = options.map(({ name, value, origin, place = '' }) =>
      [`--${name}`, value, origin, place].map((cell) => printable(cell)),
    );
    io.stdout.write(table([['OPTION', 'VALUE', 'ORIGIN', 'PLACE'], ...rows], io.stdout));
  }
  for (const mistake of mistakes) printFailure(new Failure('usage', mistake), false, io.stderr);
  if (flags.quiet) return;
  for (const note of notes) io.stderr.write(`note: ${printable(note)}\n`);
  if (mistakes.length === 0 && options === undefined)
    io.stdout.write('the configuration is valid\n');
}

export interface ExplainedOption {
  /** As in `--name`. */
  readonly name: string;
  /** As the operator wrote it, a list with commas; the text of the default otherwise. Secrets are hidden. */
  readonly value: string;
  readonly origin: Origin;
  /** `--ttl`, `SORADNS_TTL`, `ttl in x.json`; absent for a default. */
  readonly place?: string;
}

/** The value of each option and its origin, in the order of the rows. */
function explainOptions(rows: Rows, sources: Sources): readonly ExplainedOption[] {
  return Object.values(rows).map((row) => {
    const { name, defaultText = 'none' } = row;
    const found = findValue(row, sources);
    if (found === undefined) return { name, value: defaultText, origin: 'default' };
    const { origin, setBy, raw } = found;
    return { name, value: shownValue(row, raw), origin, place: setBy };
  });
}

function shownValue({ secret }: Option<unknown>, raw: unknown): string {
  if (secret) return '[secret]';
  const items = Array.isArray(raw) ? raw : [raw];
  return withoutPassword(items.map(String).join(','));
}
