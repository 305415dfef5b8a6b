/**
 * `soradns ambassador check`: finds out whether this host can carry the connections of an ambassador, and prints a
 * command that fixes what it cannot. Changes nothing.
 */
import { networkOf } from '../../app/process/network.ts';
import type { Io } from '../../app/process/process.ts';
import { type Config, readConfig } from '../../config/config.ts';
import { SERVE_AMBASSADOR_OPTIONS } from '../../config/options/ambassadorOptions.ts';
import { type OptionWords, wordsOf } from '../../config/options/option.ts';
import type { Arguments } from '../../config/settings.ts';
import { reportFindings } from '../findingsView.ts';
import { configOf } from '../serverConfig.ts';

const { ambassador, vip, vipRange, vipRange6, plane, crossBridge } = SERVE_AMBASSADOR_OPTIONS;

/** The options of `serve` that decide what the host must be able to do. */
export const CHECK_OPTIONS: readonly OptionWords[] = [
  ...wordsOf({ ambassador, vip, vipRange, vipRange6, plane, crossBridge }),
  {
    name: 'config',
    form: 'text' as const,
    placeholder: 'FILE',
    describe: 'JSON file with options by name (SORADNS_CONFIG)',
  },
].map((words) => ({ ...words, group: 'With check, as in soradns serve:' }));

/**
 * Checks the host for a server that this user starts here with the options, variables and the config file of `serve`;
 * without any, for one with `--vip`. Returns the exit code of `doctor`.
 */
export async function checkAmbassador({ flags }: Arguments, io: Io): Promise<number> {
  const { ambassador: read, registrar } = configToCheck(flags, io);
  // Loading the engine's client is slow, so other commands do not load it.
  const [{ collectAmbassador }, { ambassadorWords, settingsOfVip }, { hostAt }] = await Promise.all(
    [
      import('../../tools/doctor/ambassador/ambassadorFindings.ts'),
      import('../../tools/doctor/ambassador/startWords.ts'),
      import('../../tools/doctor/host.ts'),
    ],
  );
  const settings = read ?? settingsOfVip();
  const host = hostAt('/', networkOf({ registrar }, io));
  const judge = await collectAmbassador(host, settings, 'self');
  const found = judge((started) => ['sudo soradns up', ...ambassadorWords(started)].join(' '));
  return reportFindings(found, flags, io.stdout);
}

function configToCheck(
  flags: Arguments['flags'],
  io: Io,
): Pick<Config, 'ambassador' | 'registrar'> {
  const given = Object.fromEntries(
    CHECK_OPTIONS.flatMap(({ name }) => {
      const value = flags[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
  const { env, readFile, stateDirectory } = io;
  const read = readConfig({ flags: given, env, readFile, stateDirectory });
  if (read.kind === 'config' && read.config.ambassador !== undefined) return read.config;
  const assumed = given[plane.name] === 'proxy' ? ambassador.name : vip.name;
  return configOf({ [assumed]: true, ...given }, io).config;
}
