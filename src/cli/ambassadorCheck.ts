/**
 * `soradns ambassador check`: finds out whether this host can carry the connections of an ambassador, and prints a
 * command that fixes what it cannot. Changes nothing.
 */
import { networkOf } from '../app/process/network.ts';
import type { Io } from '../app/process/process.ts';
import type { Config } from '../config/config.ts';
import type { Arguments } from '../config/settings.ts';
import { reportFindings } from './findingsView.ts';

/**
 * Checks the host for a server with these settings that this user starts here; without settings, for one with `--vip`.
 * Returns the exit code of `doctor`. `flags`: `json` and `quiet`.
 */
export async function checkAmbassador(
  { ambassador, registrar }: Pick<Config, 'ambassador' | 'registrar'>,
  io: Io,
  flags: Arguments['flags'],
): Promise<number> {
  // Loading the engine's client is slow, so other commands do not load it.
  const [{ collectAmbassador }, { ambassadorWords, settingsOfVip }, { hostAt }] = await Promise.all(
    [
      import('../tools/doctor/ambassador/ambassadorFindings.ts'),
      import('../tools/doctor/ambassador/startWords.ts'),
      import('../tools/doctor/host.ts'),
    ],
  );
  const settings = ambassador ?? settingsOfVip();
  const host = hostAt('/', networkOf({ registrar }, io));
  const judge = await collectAmbassador(host, settings, 'self');
  const found = judge((started) => ['sudo soradns up', ...ambassadorWords(started)].join(' '));
  return reportFindings(found, flags, io.stdout);
}
